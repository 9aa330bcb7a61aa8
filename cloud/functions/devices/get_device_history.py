"""``GET /devices/{device}/history``: its key figures over the last day, for plotting. Two calls."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from cloud.clock import Clock, utc_now
from cloud.defaults import HISTORY_POINT_S
from cloud.domain.devices.device_history import kept_since, shown
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.query import Query, invalid_parameter
from cloud.tables.devices import Devices
from cloud.tables.history import History
from cloud.wiring.devices import devices
from cloud.wiring.history import history


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        if at.utcoffset() is None:
            raise ValueError("naive")
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time with its offset from UTC, as 2026-11-22T12:00:00Z") from None


_Time = Annotated[datetime | None, BeforeValidator(_time)]


class HistoryQuery(Query):
    """Query of a device's history."""

    from_: Annotated[_Time, Field(alias="from", description="Points from this time on; with a time zone")] = (
        None
    )
    to: Annotated[_Time, Field(description="Points up to this time; with a time zone")] = None


def get_device_history(request: Request, *, devices: Devices, history: History, clock: Clock) -> Response:
    """Answer with ``{device, from, to, interval_s, points}``; the oldest point first, a gap is a missing one.

    ``from`` and ``to`` (aware ISO 8601 times; by default the day that is kept) bound the points' ``at``;
    an earlier ``from`` than is kept becomes the begin of what is.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 404 ``device-not-found``.
    """
    query, now = request.query(HistoryQuery), clock()
    end = query.to or now
    begin = query.from_ or min(kept_since(now), end)
    if begin > end:
        raise invalid_parameter("from", "must not be later than to")
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


def _operation(request: Request) -> Response:
    return get_device_history(request, devices=devices(), history=history(), clock=utc_now)


handler = lambda_handler(_operation, route="GET /devices/{device}/history")
