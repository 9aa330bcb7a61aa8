"""``POST /devices/{device}/applications/{app}/retry``: retry now what failed or waits for a retry."""

from cloud.domain.commands.command import Command
from cloud.domain.devices.device import Device
from cloud.http.command_handler import CommandFields, CommandRequest, CommandRoute
from cloud.http.handler import Request
from contract.commands import RetryApplicationCommand


def _command(request: Request, device: Device, _order: CommandRequest, common: CommandFields) -> Command:
    return Command.made_of(
        device.name,
        RetryApplicationCommand(**common, command="retry-application", application=request.path["app"]),
    )


ROUTE = CommandRoute("POST /devices/{device}/applications/{app}/retry", CommandRequest, _command)
handler = ROUTE.handler()
