"""``POST /devices/{device}/applications/{app}/restart``: its container stops, and starts again."""

from cloud.command_routes import CommandRoute, Common, Draft, Order
from cloud.device import Device
from cloud.http import Request
from contract.commands import RestartApplicationCommand


class RestartRequest(Order):
    """What an operator sends."""

    force: bool = False  # even while the application holds its update lock


def _draft(request: Request, _device: Device, order: RestartRequest, common: Common) -> Draft:
    return Draft(
        RestartApplicationCommand(
            **common, command="restart-application", application=request.path["app"], force=order.force
        )
    )


ROUTE = CommandRoute("POST /devices/{device}/applications/{app}/restart", RestartRequest, _draft)
handler = ROUTE.handler()
