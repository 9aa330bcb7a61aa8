"""``GET /devices/{device}/commands/{command}``: a command's state, with what silence means by now."""

import os
from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from cloud.auth.permissions import Role
from cloud.aws.clients import client, s3_signer
from cloud.aws.s3 import Bundles
from cloud.clock import Clock, utc_now
from cloud.domain.commands.command import Command
from cloud.http.command_view import detail
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.reached_device import FindsDevices, reached_device
from cloud.tables.commands import Commands
from cloud.tables.devices import Devices

_URL_S = 300.0  # long enough to begin a download


class FindsCommands(Protocol):
    """The part of the ledger that this operation needs."""

    def get(self, device: str, command_id: str) -> Command | None: ...


class SignsDownloads(Protocol):
    """The port to where bundles are; ``cloud.aws.s3.Bundles`` in AWS."""

    def get_url(self, device: str, command: str, *, expires_in_s: float) -> str: ...


def get_command(
    request: Request,
    *,
    devices: FindsDevices,
    commands: FindsCommands,
    bundles: SignsDownloads,
    clock: Clock,
) -> Response:
    """Answer with the command; ``inferred`` says whether the cloud concluded the state.

    A bundle of logs comes with a URL of five minutes for an operator, and without one for a reader.

    Raises:
        Problem: 404 ``device-not-found`` or ``command-not-found``.
    """
    device, command_id = reached_device(request, devices), request.path["command"]
    command = commands.get(device.name, command_id)
    if command is None:
        raise Problem(404, "command-not-found", f"{device.name} has no command {command_id}")
    now = clock()
    body = detail(command, now)
    if "bundle" in command.result:
        body["bundle"] = command.result["bundle"] | _url(request, command, device.groups, bundles, now)
    return Response(200, body)


def _url(
    request: Request, command: Command, groups: Collection[str], bundles: SignsDownloads, now: datetime
) -> dict[str, str]:
    """Return where the bundle can be fetched, while it is kept, for those who may ask for one."""
    if now >= command.changed_at + Bundles.KEPT or not request.holds(Role.OPERATOR, groups):
        return {}
    return {"url": bundles.get_url(command.device, command.id, expires_in_s=_URL_S)}


def _operation(request: Request) -> Response:
    dynamodb = client("dynamodb")
    return get_command(
        request,
        devices=Devices(dynamodb, os.environ["DEVICES_TABLE"]),
        commands=Commands(dynamodb, os.environ["COMMANDS_TABLE"]),
        bundles=Bundles(s3_signer(), os.environ["BUCKET"]),
        clock=utc_now,
    )


handler = lambda_handler(_operation, route="GET /devices/{device}/commands/{command}")
