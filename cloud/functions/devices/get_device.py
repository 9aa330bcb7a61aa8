"""``GET /devices/{device}``: its presence, health and applications. One DynamoDB call, or two."""

from cloud.clock import Clock, utc_now
from cloud.defaults import OFFLINE_DEBOUNCE_S
from cloud.domain.devices.wanted_state import wanted_by_group
from cloud.environment import ENVIRONMENT
from cloud.http.device_view import detail
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.reached_device import reached_device
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.wiring.deployments import deployments
from cloud.wiring.devices import devices


def get_device(
    request: Request,
    *,
    devices: Devices,
    deployments: Deployments,
    clock: Clock,
    offline_debounce_s: float = OFFLINE_DEBOUNCE_S,
) -> Response:
    """Answer with the device.

    Raises:
        Problem: 404 ``device-not-found``.
    """
    device = reached_device(request, devices)
    wanted = wanted_by_group([device], deployments.newest_first).get(device.group)
    return Response(200, detail(device, wanted, clock(), offline_debounce_s=offline_debounce_s))


def _operation(request: Request) -> Response:
    return get_device(
        request,
        devices=devices(),
        deployments=deployments(),
        clock=utc_now,
        offline_debounce_s=ENVIRONMENT.offline_debounce_s,
    )


handler = lambda_handler(_operation, route="GET /devices/{device}")
