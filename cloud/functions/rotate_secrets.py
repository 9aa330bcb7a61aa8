"""``POST /devices/{device}/applications/{app}/rotate-secrets``: a new container, its secrets fetched anew."""

from cloud.command_routes import CommandRoute, Common, Draft, Order
from cloud.device import Device
from cloud.http import Request
from contract.commands import RotateSecretsCommand


def _draft(request: Request, _device: Device, _order: Order, common: Common) -> Draft:
    return Draft(RotateSecretsCommand(**common, command="rotate-secrets", application=request.path["app"]))


ROUTE = CommandRoute("POST /devices/{device}/applications/{app}/rotate-secrets", Order, _draft)
handler = ROUTE.handler()
