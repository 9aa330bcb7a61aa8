"""The server's time, from one answer to a hello and this boot's monotonic clock. Pure: reads no clock."""

from datetime import UTC, datetime, timedelta

from contract.commands import TimeAnswer

# An answer later than this says little: hello or answer lay in a queue while the connection was away,
# and the time in it may be hours old. Ask again instead.
ROUND_TRIP_MAX_S = 30.0
QUESTIONS_KEPT = 8


class ServerTime:
    """The server's clock, once a hello was answered in time in this boot."""

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}
        self._known: tuple[datetime, float] | None = None
        #: By how much ``now`` may be ahead of the server: the round trip of the answer that told it.
        self.ahead = timedelta()

    def asked(self, nonce: str, at_s: float) -> None:
        """Remember that a hello with ``nonce`` goes out at ``at_s`` on the monotonic clock."""
        self._asked[nonce] = at_s
        while len(self._asked) > QUESTIONS_KEPT:
            del self._asked[next(iter(self._asked))]

    def answered(self, answer: TimeAnswer, at_s: float) -> bool:
        """Take an answer that arrived at ``at_s``; return whether it told the time.

        The whole round trip is added, so the result errs towards the future, by 30 s at most: rather
        refuse a command in its last seconds than reboot after its end. What must not come too early allows
        for ``ahead``.
        """
        asked_s = self._asked.pop(answer.nonce, None)
        if asked_s is None or not 0 <= at_s - asked_s <= ROUND_TRIP_MAX_S:
            return False
        try:
            at_server = datetime.fromtimestamp(answer.server_time_ms / 1000, UTC)
            self.ahead = timedelta(seconds=at_s - asked_s)
            self._known = (at_server + self.ahead, at_s)
        except (OverflowError, ValueError, OSError):
            return False
        return True

    def now(self, at_s: float) -> datetime | None:
        """Return the server's time at ``at_s``; None until an answer told it."""
        if self._known is None:
            return None
        known, known_s = self._known
        return known + timedelta(seconds=at_s - known_s)
