"""Link keeper: retries what was refused, reconnects after a loss. Never waits.

Each subscription has at most one request pending: the classic nucleus answers none before its first
connection to the broker, and then subscribes once per request. A request without an answer stays pending;
one whose stream closed has failed, or has lost the whole link, and is made again.

A link that was never connected counts as lost: containers are supervised without it.
"""

import itertools
import logging
from collections.abc import Callable, Sequence

from contract.names import Nucleus
from edge.backoff import backoff_s
from edge.events import LinkAnswered, LinkLost
from edge.link.patience import CONNECT_WAITS_S, Patience
from edge.ports.clock import Clock
from edge.ports.link import Link, LinkDown, LinkError, NotSupported

CONNECT_ANSWER_S = 10.0  # a nucleus that listens and does not answer is one that is away
SUBSCRIBE_FIRST_S = 1.0
SUBSCRIBE_MAX_S = 60.0
#: Of many subscriptions that succeed one after the other, the first waits this long for the others.
GATHER_S = 2.0

_UPDATES = "component updates"

log = logging.getLogger(__name__)


class LinkKeeper:
    """The subscriptions that the link must have, and its reconnection. Owned by the loop's thread."""

    def __init__(
        self,
        *,
        link: Link,
        clock: Clock,
        topics: Sequence[str],
        spread: Callable[[float], float],
        recheck_after_s: Callable[[str], float],
        patience: Patience,
        connected: bool,
    ) -> None:
        self._link = link
        self._patience = patience
        self._clock = clock
        self._spread = spread
        self._wanted: dict[str, Callable[[int], None]] = {"configuration": link.watch_configuration}
        for topic in topics:
            self._wanted[topic] = lambda number, topic=topic: link.subscribe(topic, number)  # type: ignore[misc]
        #: Which nucleus this is, by whether it asks about updates; None until it has answered that.
        self.nucleus: Nucleus | None = None
        #: What only the classic nucleus has.
        self._optional: dict[str, Callable[[int], None]] = {
            _UPDATES: lambda number: link.watch_updates(number, recheck_after_s)
        }
        self._missing = self._wanted | self._optional
        self._numbers = itertools.count(1)
        self._pending: dict[int, str] = {}  # begun on this connection and not answered
        self._connected = connected
        self._connection = 0  # the number of the try that made it
        self._connecting: int | None = None
        self._fell: str | None = None  # why what is being made closed before its answer was here
        self._failure: LinkDown | None = None  # of the last try to connect, not judged yet
        self._tries = 0  # to subscribe
        self._wait_s = 0.0  # of a subscription that is refused
        self._due_s: float | None = clock.monotonic()
        self._news_due_s: float | None = None

    def lost(self, news: LinkLost) -> None:
        """Take note that the link closed; an event of an earlier connection is ignored."""
        if news.number == self._connecting:
            self._fell = news.reason
        elif self._connected and news.number == self._connection:
            log.warning("link to the nucleus is lost: reason=%s", news.reason)
            self._connected = False
            self._missing = self._wanted | self._optional
            self._pending.clear()
            self._news_due_s = None
            self._patience.renew()
            self._due_s = self._clock.monotonic() + self._spread(CONNECT_WAITS_S[0])

    def answered(self, answer: LinkAnswered) -> None:
        """Take an answer; one to a request on an earlier connection is ignored."""
        now_s = self._clock.monotonic()
        if answer.number == self._connecting:
            self._connecting, self._due_s = None, now_s
            if answer.error is not None:
                self._failure = _down(answer.error)
            elif self._fell is not None:
                self._failure = LinkDown(f"the connection closed at once: {self._fell}")
            else:
                log.info("connected to the nucleus: tries=%d", self._patience.tries + 1)
                self._connected, self._connection, self._tries = True, answer.number, 0
        elif (name := self._pending.pop(answer.number, None)) is not None:
            if answer.error is not None:
                self._refused(name, answer.error)
                return
            del self._missing[name]
            if name == _UPDATES:
                self.nucleus = Nucleus.CLASSIC
            if self._news_due_s is None:
                self._news_due_s = now_s + GATHER_S

    def tick(self) -> bool:
        """Begin what is due; return whether something is subscribed now that was not before.

        Raises:
            LinkGone: the link cannot be had back by this process.
        """
        now_s = self._clock.monotonic()
        if self._due_s is not None and now_s >= self._due_s:
            if self._connected:
                self._subscribe()
            else:
                self._connect(now_s)
        if self._news_due_s is None or (self._pending and now_s < self._news_due_s):
            return False
        self._news_due_s = None
        return True

    def next_due_s(self) -> float | None:
        """Return when ``tick`` has something to do without any event, on the monotonic clock."""
        return min((s for s in (self._due_s, self._news_due_s) if s is not None), default=None)

    def _connect(self, now_s: float) -> None:
        if self._connecting is not None:
            self._connecting, self._failure = None, LinkDown("the nucleus does not answer")
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self._due_s = now_s + self._patience.after(failure)
            return
        number = next(self._numbers)
        self._due_s = now_s + self._spread(CONNECT_ANSWER_S)  # also should this try end in a bug of ours
        self._link.reconnect(number)
        self._connecting, self._fell = number, None

    def _subscribe(self) -> None:
        self._tries += 1
        self._wait_s = self._spread(backoff_s(self._tries, SUBSCRIBE_FIRST_S, SUBSCRIBE_MAX_S))
        self._due_s = self._clock.monotonic() + SUBSCRIBE_MAX_S  # should this try end in a bug of ours
        pending, refused = set(self._pending.values()), dict[str, LinkError]()
        for name, begin in self._missing.items():
            if name in pending:
                continue
            number = next(self._numbers)
            try:
                begin(number)
            except LinkError as error:
                refused[name] = error
            else:
                self._pending[number] = name
        self._due_s = None
        for name, refusal in refused.items():
            self._refused(name, refusal)

    def _refused(self, name: str, error: LinkError) -> None:
        if name in self._optional and isinstance(error, NotSupported):
            log.info("this nucleus does not have it: what=%s", name)
            del self._missing[name]
            if name == _UPDATES and not error.said:
                self.nucleus = Nucleus.LITE
            return
        log.warning("cannot subscribe: what=%s code=%s", name, error.code)
        if self._due_s is None:
            self._due_s = self._clock.monotonic() + self._wait_s


def _down(error: LinkError) -> LinkDown:
    return error if isinstance(error, LinkDown) else LinkDown(str(error))
