"""Keeps the link up: subscriptions that were refused are tried again, a lost connection is made again.

A nucleus that restarted never takes the old token again, and only a restart of this process gets a
new one; so trying ends after a minute. It lasts that long because a nucleus gives up a component
that ends three times within an hour.
"""

import logging
from collections.abc import Callable, Sequence

from edge.clock import Clock
from edge.link import Link, LinkDown, LinkError, NotSupported

CONNECT_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
SUBSCRIBE_FIRST_S = 1.0
SUBSCRIBE_MAX_S = 60.0

log = logging.getLogger(__name__)


class LinkGone(Exception):
    """Every try to connect again failed: end the process, so that the nucleus starts it with a new token."""

    code = "link-gone"


class LinkKeeper:
    """What must be subscribed on the link, and how long it has been away. Owned by the loop's thread."""

    def __init__(
        self, *, link: Link, clock: Clock, topics: Sequence[str], spread: Callable[[float], float]
    ) -> None:
        self._link = link
        self._clock = clock
        self._spread = spread
        self._wanted: dict[str, Callable[[], None]] = {"configuration": link.watch_configuration}
        for topic in topics:
            self._wanted[topic] = lambda topic=topic: link.subscribe(topic)  # type: ignore[misc]
        #: What only the classic nucleus has; without it, the same is found out when it is applied.
        self._optional: dict[str, Callable[[], None]] = {
            "component updates": link.watch_updates,
            "configuration proposals": link.watch_proposals,
        }
        self._missing = self._wanted | self._optional
        self._connected = True
        self._tries = 0
        self._due_s: float | None = clock.monotonic()

    def lost(self, reason: str) -> None:
        """Take the news that the link closed."""
        if self._connected:
            log.warning("link to the nucleus is lost: reason=%s", reason)
            self._connected = False
            self._missing = self._wanted | self._optional
            self._tries = 0
            self._due_s = self._clock.monotonic() + self._spread(CONNECT_WAITS_S[0])

    def tick(self) -> bool:
        """Do what is due; return whether something is subscribed now that was not before.

        Raises:
            LinkGone: the link cannot be had back by this process.
        """
        now_s = self._clock.monotonic()
        if self._due_s is None or now_s < self._due_s:
            return False
        self._due_s = now_s + self._spread(SUBSCRIBE_MAX_S)  # should this try end in a bug of ours
        if not self._connected and not self._connect():
            return False
        return self._subscribe()

    def next_due_s(self) -> float | None:
        """Return when ``tick`` has something to do without any news, on the monotonic clock."""
        return self._due_s

    def _connect(self) -> bool:
        try:
            self._link.connect()
        except LinkDown as error:
            self._tries += 1
            if self._tries >= len(CONNECT_WAITS_S):
                raise LinkGone(f"no connection after {self._tries} tries: {error}") from error
            wait_s = self._spread(CONNECT_WAITS_S[self._tries])
            self._due_s = self._clock.monotonic() + wait_s
            log.warning(
                "cannot connect to the nucleus: try=%d wait_s=%.1f error=%s", self._tries, wait_s, error
            )
            return False
        log.info("connected to the nucleus again: tries=%d", self._tries + 1)
        self._connected, self._tries = True, 0
        return True

    def _subscribe(self) -> bool:
        new = 0
        for name, subscribe in list(self._missing.items()):
            try:
                subscribe()
            except LinkError as error:
                if not (name in self._optional and isinstance(error, NotSupported)):
                    log.warning("cannot subscribe: what=%s code=%s", name, error.code)
                    continue
                log.info("this nucleus does not have it: what=%s", name)
            else:
                new += 1
            del self._missing[name]
        if self._missing:
            wait_s = self._spread(min(SUBSCRIBE_FIRST_S * 2**self._tries, SUBSCRIBE_MAX_S))
            self._tries = min(self._tries + 1, 16)
            self._due_s = self._clock.monotonic() + wait_s
        else:
            self._tries, self._due_s = 0, None
        return new > 0
