"""The two clocks: one for intervals, one for dates. Nothing else in edge/ may ask what time it is."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is."""

    def monotonic(self) -> float:
        """Return seconds since some fixed moment of this boot; never goes back, also while suspended."""

    def now(self) -> datetime:
        """Return this machine's idea of the date, in UTC; it may be years off and may jump."""


def local_time(moment: datetime) -> datetime:
    """Return a moment as this machine's time zone shows it."""
    return moment.astimezone()


class SystemClock:
    """The kernel's clocks."""

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> datetime:
        return datetime.now(UTC)
