"""``since`` of a code: when it began to hold, by the device's clock, which may be set meanwhile."""

from datetime import datetime, timedelta

from edge.ports.clock import Clock

CLOCK_SET_S = 60.0  # a date that is off by more was told by a clock that was set since


class Since:
    """When the code that is reported began to hold."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._code: str | None = None
        self._began_s = 0.0
        self._began = clock.now()

    def of(self, code: str | None) -> datetime | None:
        """Return when ``code`` began to hold without a break; None for none. Ask at every look."""
        now, now_s = self._clock.now(), self._clock.monotonic()
        if code != self._code:
            self._code, self._began_s, self._began = code, now_s, now
        began = now - timedelta(seconds=now_s - self._began_s)
        if abs((began - self._began).total_seconds()) > CLOCK_SET_S:
            self._began = began
        return None if code is None else self._began
