"""``POST /devices/{device}/report``: the device reports at once, whether anything changed or not."""

from cloud.command_routes import CommandRoute, Common, Draft, Order
from cloud.device import Device
from cloud.http import Request
from contract.commands import ReportNowCommand


def _draft(_request: Request, _device: Device, _order: Order, common: Common) -> Draft:
    return Draft(ReportNowCommand(**common, command="report-now"))


ROUTE = CommandRoute("POST /devices/{device}/report", Order, _draft)
handler = ROUTE.handler()
