"""A device's history of key figures: the spans of time, and the one point that each span keeps.

Pure. The first report within a span of ``HISTORY_POINT_S`` is its point.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from cloud.defaults import HISTORY_POINT_S, HISTORY_S
from cloud.domain.devices.device import Device
from cloud.domain.timestamps import from_ms, to_ms
from contract.reports import HostHealth

POINTS_MAX = int(HISTORY_S / HISTORY_POINT_S) + 1
_SPAN_MS = int(HISTORY_POINT_S * 1000)
#: What the machine measures, which no text is; the name says the unit.
_MEASURED = tuple(name for name, field in HostHealth.model_fields.items() if field.annotation is not str)


def span_of(at: datetime) -> datetime:
    """Return the start of the span that ``at`` lies in."""
    ms = to_ms(at)
    return from_ms(ms - ms % _SPAN_MS)


def kept_since(now: datetime) -> datetime:
    """Return the time before which nothing is kept."""
    return now - timedelta(seconds=HISTORY_S)


def point_of(device: Device) -> dict[str, object]:
    """Return the point that ``device``, as its newest report left it, makes in the span ``history_at``.

    JSON types: ``at`` (Unix milliseconds), ``delete_at`` (Unix seconds), the machine's figures under
    their names on the wire, ``applications`` (how many are in each state), ``state_changes`` (of all
    time), ``clock_skew_s``, ``engine``. What was not told is left out.

    Raises:
        ValueError: no report was heard.
    """
    if device.history_at is None:
        raise ValueError(f"{device.name} has not reported")
    at = to_ms(device.history_at)
    told: dict[str, object] = {name: device.host.get(name) for name in _MEASURED}
    told |= {"clock_skew_s": device.clock_skew_s, "engine": device.engine}
    states = Counter(str(status["state"]) for status in device.applications.values())
    return {
        "device": device.name,
        "at": at,
        "delete_at": at // 1000 + int(HISTORY_S + HISTORY_POINT_S),
        **{name: value for name, value in told.items() if value is not None},
        "applications": dict(states),
        "state_changes": device.state_changes,
    }


def shown(points: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return ``points`` (as ``point_of`` made them, the oldest first) for plotting.

    ``at`` is an aware time. Every point has every member, None where nothing was told; ``state_changes``
    are those since the point before, None in the first.
    """
    rows = list(points)
    changes = [None, *(b["state_changes"] - a["state_changes"] for a, b in pairwise(rows))]
    return [
        {
            "at": from_ms(row["at"]),
            **{name: row.get(name) for name in (*_MEASURED, "clock_skew_s", "engine")},
            "applications": row["applications"],
            "state_changes": changed,
        }
        for row, changed in zip(rows, changes, strict=False)
    ]
