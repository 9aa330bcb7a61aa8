"""Maintenance windows: when they are open. Pure. The caller says what time it is, and where."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from contract.cron import Cron
from contract.desired import MaintenanceWindow

#: Turns a UTC time into the device's local time.
Local = Callable[[datetime], datetime]

AHEAD = timedelta(days=400)  # a window that does not open within this is as good as none
_MINUTE = timedelta(minutes=1)


def is_open(windows: Iterable[MaintenanceWindow], now: datetime, local: Local) -> bool:
    """Whether any window is open at ``now`` (UTC): it opened less than its duration ago."""
    return any(
        _next_match(window, now - timedelta(minutes=window.duration_min), now, local) is not None
        for window in windows
    )


def next_opening(windows: Iterable[MaintenanceWindow], now: datetime, local: Local) -> datetime | None:
    """Return when the first of ``windows`` opens after ``now`` (UTC); None when none does for a year."""
    found = (_next_match(window, now, now + AHEAD, local) for window in windows)
    return min((each for each in found if each is not None), default=None)


def _next_match(window: MaintenanceWindow, after: datetime, until: datetime, local: Local) -> datetime | None:
    """Return the first minute in ``(after, until]`` that the window's cron names.

    Steps through UTC and looks at each minute as the window's own clock shows it, so that an hour
    which daylight saving skips opens nothing, and one that it repeats opens twice.
    """
    cron = Cron.parse(window.cron)
    minute = after.replace(second=0, microsecond=0) + _MINUTE
    while minute <= until:
        shown = minute if window.time_zone == "utc" else local(minute)
        if cron.matches(shown):
            return minute
        # No minute of this hour will do when its first possible one does not.
        preflight_passed = cron.matches(shown.replace(minute=min(cron.minutes)))
        minute += _MINUTE if preflight_passed else timedelta(minutes=60 - shown.minute)
    return None
