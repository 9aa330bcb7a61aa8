"""``GET /devices/{device}/history``: its key figures over the last day, for plotting. Two calls."""

from datetime import datetime

from cloud.clock import Clock, utc_now
from cloud.defaults import HISTORY_POINT_S
from cloud.domain.devices.device_history import kept_since, shown
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler
from cloud.tables.devices import Devices
from cloud.tables.history import History
from cloud.wiring.devices import devices
from cloud.wiring.history import history


def get_device_history(request: Request, *, devices: Devices, history: History, clock: Clock) -> Response:
    """Answer with ``{device, from, to, interval_s, points}``; the oldest point first, a gap is a missing one.

    ``from`` and ``to`` (aware ISO 8601 times; by default the day that is kept) bound the points' ``at``;
    an earlier ``from`` than is kept becomes the begin of what is.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 404 ``device-not-found``.
    """
    now = clock()
    end = _time(request, "to", now)
    begin = _time(request, "from", min(kept_since(now), end))
    if begin > end:
        raise Problem(400, "invalid-parameter", "from: must not be later than to", field="from")
    begin = min(max(begin, kept_since(now)), end)
    name = request.path["device"]
    device = devices.get(name)
    if device is None:
        raise Problem(404, "device-not-found", f"there is no device {name}")
    request.require_group(device.groups)
    points = shown(history.points(name, begin, end))
    return Response(
        200, {"device": name, "from": begin, "to": end, "interval_s": HISTORY_POINT_S, "points": points}
    )


def _time(request: Request, parameter: str, default: datetime) -> datetime:
    text = request.query.get(parameter)
    if text is None:
        return default
    try:
        at = datetime.fromisoformat(text)
        if at.utcoffset() is None:
            raise ValueError("naive")
        return at.astimezone(default.tzinfo)
    except (ValueError, OverflowError):
        detail = f"{parameter}: must be a time with its offset from UTC, as 2026-11-22T12:00:00Z"
        raise Problem(400, "invalid-parameter", detail, field=parameter) from None


def _operation(request: Request) -> Response:
    return get_device_history(request, devices=devices(), history=history(), clock=utc_now)


handler = lambda_handler(_operation, route="GET /devices/{device}/history")
