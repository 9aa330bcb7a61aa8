"""``POST /devices/{device}/report``: the device reports at once, whether anything changed or not."""

from cloud.domain.commands.command import Command
from cloud.domain.devices.device import Device
from cloud.http.command_handler import CommandRoute, Common, Order
from cloud.http.handler import Request
from contract.commands import ReportNowCommand


def _command(_request: Request, device: Device, _order: Order, common: Common) -> Command:
    return Command.made_of(device.name, ReportNowCommand(**common, command="report-now"))


ROUTE = CommandRoute("POST /devices/{device}/report", Order, _command)
handler = ROUTE.handler()
