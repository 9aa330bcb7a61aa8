"""``GET /devices/{device}/commands/{command}``: how a command stands, with what silence says by now."""

import os
from collections.abc import Collection
from typing import Protocol

from cloud.aws.clients import client
from cloud.clock import Clock, utc_now
from cloud.command import Command
from cloud.device import Device
from cloud.http import Problem, Request, Response, lambda_handler
from cloud.tables.commands import Commands
from cloud.tables.devices import Devices

_RESULT_FIELDS = ("message", "boot_id_before", "boot_id", "down_s", "clock")


class FindsDevices(Protocol):
    """The part of the devices table that tells a device's groups."""

    def get(self, device: str) -> Device | None: ...


class FindsCommands(Protocol):
    """The part of the ledger that this operation needs."""

    def get(self, device: str, command_id: str) -> Command | None: ...


def get_command(
    request: Request, *, devices: FindsDevices, commands: FindsCommands, clock: Clock
) -> Response:
    """Answer with the command; ``inferred`` says whether the state is ours or the device's own word.

    Raises:
        Problem: 404 ``command-not-found``.
    """
    name, command_id = request.path["device"], request.path["command"]
    device = devices.get(name)
    groups: Collection[str] = () if device is None else device.groups
    request.require_group(groups)
    command = commands.get(name, command_id)
    if command is None:
        raise Problem(404, "command-not-found", f"{name} has no command {command_id}")
    inferred = command.conclusion(clock())
    body: dict[str, object] = {
        "id": command.id,
        "device": command.device,
        "kind": command.kind,
        "state": (inferred.state if inferred else command.state).value,
        "inferred": inferred is not None,
        "changed_at": inferred.at if inferred else command.changed_at,
        "issued_at": command.issued_at,
        "expires_at": command.expires_at,
        "requested_by": command.requested_by,
        "reason": command.reason,
        **command.parameters,
        "warnings": list(command.warnings),
        "transitions": list(command.transitions),
    }
    code = inferred.code if inferred else command.result.get("code")
    if code is not None:
        body["code"] = code
    body |= {name: command.result[name] for name in _RESULT_FIELDS if name in command.result}
    return Response(200, body)


def _operation(request: Request) -> Response:
    dynamodb = client("dynamodb")
    return get_command(
        request,
        devices=Devices(dynamodb, os.environ["DEVICES_TABLE"]),
        commands=Commands(dynamodb, os.environ["COMMANDS_TABLE"]),
        clock=utc_now,
    )


handler = lambda_handler(_operation, route="GET /devices/{device}/commands/{command}")
