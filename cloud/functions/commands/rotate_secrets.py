"""``POST /devices/{device}/applications/{app}/rotate-secrets``: a new container with fresh secrets."""

from cloud.domain.commands.command import Command
from cloud.domain.devices.device import Device
from cloud.http.command_handler import CommandFields, CommandRequest, CommandRoute
from cloud.http.handler import Request
from contract.commands import RotateSecretsCommand


def _command(request: Request, device: Device, _order: CommandRequest, common: CommandFields) -> Command:
    return Command.made_of(
        device.name, RotateSecretsCommand(**common, command="rotate-secrets", application=request.path["app"])
    )


ROUTE = CommandRoute("POST /devices/{device}/applications/{app}/rotate-secrets", CommandRequest, _command)
handler = ROUTE.handler()
