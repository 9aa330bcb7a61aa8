"""``GET /devices/{device}``: its presence, health and applications. One DynamoDB call, or two."""

import os

from cloud.aws.clients import client
from cloud.clock import Clock, utc_now
from cloud.defaults import OFFLINE_DEBOUNCE_S
from cloud.domain.devices.wanted_state import FindsDeployments, wanted_by_group
from cloud.http.device_view import detail
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.reached_device import FindsDevices, reached_device
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices


def get_device(
    request: Request,
    *,
    devices: FindsDevices,
    deployments: FindsDeployments,
    clock: Clock,
    offline_debounce_s: float = OFFLINE_DEBOUNCE_S,
) -> Response:
    """Answer with the device.

    Raises:
        Problem: 404 ``device-not-found``.
    """
    device = reached_device(request, devices)
    wanted = wanted_by_group([device], deployments).get(device.group)
    return Response(200, detail(device, wanted, clock(), offline_debounce_s=offline_debounce_s))


def _operation(request: Request) -> Response:
    dynamodb = client("dynamodb")
    return get_device(
        request,
        devices=Devices(dynamodb, os.environ["DEVICES_TABLE"]),
        deployments=Deployments(dynamodb, os.environ["DEPLOYMENTS_TABLE"]),
        clock=utc_now,
        offline_debounce_s=float(os.environ.get("OFFLINE_DEBOUNCE_S", OFFLINE_DEBOUNCE_S)),
    )


handler = lambda_handler(_operation, route="GET /devices/{device}")
