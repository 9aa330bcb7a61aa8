"""``POST /devices/{device}/applications/{app}/restart``: its container stops, and starts again."""

from cloud.domain.commands.command import Command
from cloud.domain.devices.device import Device
from cloud.http.command_handler import CommandFields, CommandRequest, CommandRoute
from cloud.http.handler import Request
from contract.commands import RestartApplicationCommand


class RestartRequest(CommandRequest):
    """Request body of the restart command."""

    force: bool = False  # even while the application holds its update lock


def _command(request: Request, device: Device, order: RestartRequest, common: CommandFields) -> Command:
    return Command.made_of(
        device.name,
        RestartApplicationCommand(
            **common, command="restart-application", application=request.path["app"], force=order.force
        ),
    )


ROUTE = CommandRoute("POST /devices/{device}/applications/{app}/restart", RestartRequest, _command)
handler = ROUTE.handler()
