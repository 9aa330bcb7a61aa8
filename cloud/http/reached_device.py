"""The device that a request names: enrolled, and within the caller's scope."""

from cloud.domain.devices.device import Device
from cloud.http.gateway_events import Problem
from cloud.http.handler import Request
from cloud.tables.devices import Devices


def reached_device(request: Request, devices: Devices) -> Device:
    """Return the device of the path.

    Raises:
        Problem: 404 ``device-not-found``, 403 ``group-not-allowed``.
    """
    name = request.path["device"]
    device = devices.get(name)
    if device is None:
        raise Problem(404, "device-not-found", f"there is no device {name}")
    request.require_group(device.groups)
    return device
