"""The system's clock, which a test may set off."""

import time
from datetime import UTC, datetime, timedelta


class JumpingClock:
    """Real time, and then some: ``ahead_s`` lets waits pass, ``off`` is how wrong the date is."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.off = timedelta()

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def now(self) -> datetime:
        return datetime.now(UTC) + self.off
