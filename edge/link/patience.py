"""Reconnect policy: the wait before the next try, and when the process must end for a new token.

A nucleus that restarted never accepts the old token again, and only a restart of this process gets a
new one. A nucleus that refuses the token several times in a row has restarted; otherwise the process gives up
after a minute. Where another process waits to take over from this one, it ends at the first refusal.
"""

import logging
from collections.abc import Callable

from edge.backoff import backoff_s
from edge.link.endings import Endings
from edge.ports.link import LinkDown, TokenRefused

CONNECT_WAITS_S = tuple(backoff_s(tries, 0.5, 30.0) for tries in range(1, 8))
REFUSALS = 3  # in a row, within ten seconds: a nucleus that goes down closes connections as well

log = logging.getLogger(__name__)


class LinkGone(Exception):
    """Every try to connect failed: end the process, so that the nucleus starts it with a new token."""

    code = "link-gone"


class Patience:
    """The failed tries since the last connection. Owned by one thread."""

    def __init__(
        self, *, endings: Endings, lock_wanted: Callable[[], bool], spread: Callable[[float], float]
    ) -> None:
        self._endings = endings
        self._lock_wanted = lock_wanted
        self._spread = spread
        self.tries = 0
        self._refusals = 0

    def renew(self) -> None:
        """Begin to count anew: there was a connection."""
        self.tries = self._refusals = 0

    def after(self, failure: LinkDown) -> float:
        """Return how many seconds to wait before the next try.

        Raises:
            LinkGone: the link cannot be had by this process, and one more end is allowed.
        """
        self.tries += 1
        self._refusals = self._refusals + 1 if isinstance(failure, TokenRefused) else 0
        if self._refusals and self._lock_wanted():
            raise LinkGone(f"another agent has taken over: {failure}") from failure
        late = self.tries >= len(CONNECT_WAITS_S)
        if (late or self._refusals >= REFUSALS) and self._endings.may_end(early=not late):
            raise LinkGone(f"no connection after {self.tries} tries: {failure}") from failure
        wait_s = self._spread(CONNECT_WAITS_S[min(self.tries, len(CONNECT_WAITS_S) - 1)])
        log.warning("cannot connect to the nucleus: try=%d wait_s=%.1f error=%s", self.tries, wait_s, failure)
        return wait_s
