"""The machine's clocks: one for intervals, one for dates. Nothing else in edge/ may ask what time it is."""

import time
from datetime import UTC, datetime


def local_time(moment: datetime) -> datetime:
    """Return a moment as this machine's time zone shows it."""
    return moment.astimezone()


class SystemClock:
    """The kernel's clocks."""

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> datetime:
        return datetime.now(UTC)
