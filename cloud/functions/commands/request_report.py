"""``POST /devices/{device}/report``: the device reports at once, whether anything changed or not."""

from cloud.domain.commands.command import Command
from cloud.domain.devices.device import Device
from cloud.http.command_handler import CommandFields, CommandRequest, CommandRoute
from cloud.http.handler import Request
from contract.commands import ReportNowCommand


def _command(_request: Request, device: Device, _order: CommandRequest, common: CommandFields) -> Command:
    return Command.made_of(device.name, ReportNowCommand(**common, command="report-now"))


ROUTE = CommandRoute("POST /devices/{device}/report", CommandRequest, _command)
handler = ROUTE.handler()
