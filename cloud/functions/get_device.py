"""``GET /devices/{device}``: is it there, is it well, and what runs on it. One DynamoDB call."""

import os
from typing import Protocol

from cloud.aws.clients import client
from cloud.clock import Clock, utc_now
from cloud.device import Device
from cloud.http import Problem, Request, Response, lambda_handler
from cloud.tables.devices import Devices
from cloud.views import detail
from contract.defaults import OFFLINE_DEBOUNCE_S


class FindsDevices(Protocol):
    """The part of the devices table that this operation needs."""

    def get(self, device: str) -> Device | None: ...


def get_device(
    request: Request,
    *,
    devices: FindsDevices,
    clock: Clock,
    offline_debounce_s: float = OFFLINE_DEBOUNCE_S,
) -> Response:
    """Answer with the device.

    Raises:
        Problem: 404 ``device-not-found``.
    """
    name = request.path["device"]
    device = devices.get(name)
    if device is None:
        raise Problem(404, "device-not-found", f"there is no device {name}")
    request.require_group(device.groups)
    return Response(200, detail(device, clock(), offline_debounce_s=offline_debounce_s))


def _operation(request: Request) -> Response:
    return get_device(
        request,
        devices=Devices(client("dynamodb"), os.environ["DEVICES_TABLE"]),
        clock=utc_now,
        offline_debounce_s=float(os.environ.get("OFFLINE_DEBOUNCE_S", OFFLINE_DEBOUNCE_S)),
    )


handler = lambda_handler(_operation, route="GET /devices/{device}")
