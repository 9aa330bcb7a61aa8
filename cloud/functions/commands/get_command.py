"""``GET /devices/{device}/commands/{command}``: a command's state, with what silence means by now."""

from collections.abc import Collection
from datetime import datetime

from cloud.auth.permissions import Role
from cloud.clock import Clock, utc_now
from cloud.domain.commands.command import Command
from cloud.http.command_view import detail
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.reached_device import reached_device
from cloud.ports.bucket import BUNDLES_KEPT, Bundles
from cloud.tables.commands import Commands
from cloud.tables.devices import Devices
from cloud.wiring.bucket import bundles
from cloud.wiring.commands import commands
from cloud.wiring.devices import devices

_URL_S = 300.0  # long enough to begin a download


def get_command(
    request: Request,
    *,
    devices: Devices,
    commands: Commands,
    bundles: Bundles,
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
    request: Request, command: Command, groups: Collection[str], bundles: Bundles, now: datetime
) -> dict[str, str]:
    """Return where the bundle can be fetched, while it is kept, for those who may ask for one."""
    if now >= command.changed_at + BUNDLES_KEPT or not request.holds(Role.OPERATOR, groups):
        return {}
    return {"url": bundles.get_url(command.device, command.id, expires_in_s=_URL_S)}


def _operation(request: Request) -> Response:
    return get_command(request, devices=devices(), commands=commands(), bundles=bundles(), clock=utc_now)


handler = lambda_handler(_operation, route="GET /devices/{device}/commands/{command}")
