"""``POST /devices/{device}/applications/{app}/retry``: at once, and once more, what failed or waits."""

from cloud.command_routes import CommandRoute, Common, Draft, Order
from cloud.device import Device
from cloud.http import Request
from contract.commands import RetryApplicationCommand


def _draft(request: Request, _device: Device, _order: Order, common: Common) -> Draft:
    return Draft(
        RetryApplicationCommand(**common, command="retry-application", application=request.path["app"])
    )


ROUTE = CommandRoute("POST /devices/{device}/applications/{app}/retry", Order, _draft)
handler = ROUTE.handler()
