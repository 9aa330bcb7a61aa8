"""The reporter: hello at start, a report on every change and at least every interval, goodbye."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeVar

from contract import topics
from contract.defaults import LEVEL
from contract.events import ConnectionEvent
from contract.names import Nucleus
from contract.reports import ApplicationStatus
from edge.defaults import HEARTBEAT_JITTER
from edge.ports.clock import Clock
from edge.ports.health import Health
from edge.reporting.outbox import Outbox, Outgoing
from edge.reporting.reports import Heading, ReportFacts, build
from edge.reporting.sequence import Sequence
from edge.reporting.server_time import ServerTime
from edge.version import AGENT_VERSION

#: Adds measurements to the applications of a report as it goes out; their change alone sends no report.
Measured = Callable[[tuple[ApplicationStatus, ...]], tuple[ApplicationStatus, ...]]

HELLO = "hello"
REPORT = "report"
#: A hello without an answer is said again after this, doubling: the answer tells the server's time.
ASK_AGAIN_S = 60.0
ASK_AGAIN_MAX_S = 3_600.0

log = logging.getLogger(__name__)
Told = TypeVar("Told")


class Reporter:
    """Sends hello, reports and goodbye through the outbox. All calls come from the loop's thread."""

    def __init__(
        self,
        *,
        thing: str,
        boot_id: Callable[[], str],
        interval_s: float,
        sequence: Sequence,
        outbox: Outbox,
        server_time: ServerTime,
        health: Health,
        clock: Clock,
        random: Callable[[], float],
        new_nonce: Callable[[], str],
        measured: Measured,
        nucleus: Callable[[], Nucleus | None],
    ) -> None:
        self._thing = thing
        self._boot_id = boot_id
        self.interval_s = interval_s
        self._sequence = sequence
        self._outbox = outbox
        self._server_time = server_time
        self._health = health
        self._clock = clock
        self._random = random
        self._new_nonce = new_nonce
        self._measured = measured
        self._nucleus = nucleus
        self._said: str | None = None
        self._heartbeat_at_s = 0.0
        self._ask_at_s: float | None = None
        self._ask_wait_s = ASK_AGAIN_S
        self._hello_waits = False

    def hello(self) -> None:
        """Send a hello, and ask for the server's time; a report follows."""
        self._ask_wait_s = ASK_AGAIN_S
        self._say_hello()
        self.hurry()

    def owe_hello(self) -> None:
        """Have a hello wait in the outbox: the broker was away, and will see a new connection."""
        if not self._hello_waits:
            self.hello()

    def hello_was_sent(self) -> None:
        """Ask again after a while if no answer comes."""
        self._hello_waits = False
        self._ask_at_s = self._clock.monotonic() + self._ask_wait_s
        self._ask_wait_s = min(self._ask_wait_s * 2, ASK_AGAIN_MAX_S)

    def tick(self) -> None:
        """Ask for the server's time again while it is unknown."""
        now_s = self._clock.monotonic()
        if self._server_time.now(now_s) is not None:
            self._ask_at_s = None
        elif self._ask_at_s is not None and now_s >= self._ask_at_s:
            self._say_hello()

    def report(self, facts: ReportFacts, *, malformed_messages: int) -> None:
        """Send ``facts`` when they have changed or the heartbeat is due; at most one report per call."""
        facts = replace(facts, nucleus=self._nucleus())
        news = facts.news()
        now_s = self._clock.monotonic()
        if news == self._said and now_s < self._heartbeat_at_s:
            return
        epoch, sequence = self._sequence.next()
        heading = Heading(
            epoch=epoch,
            sequence=sequence,
            at=self._clock.now(),
            boot_id=self._boot_id(),
            agent_version=AGENT_VERSION,
            interval_s=self.interval_s,
            malformed_messages=malformed_messages,
        )
        applications = _spared("usage", lambda: self._measured(facts.applications), facts.applications)
        host = _spared("health", self._health.measure, None)
        parts = build(replace(facts, applications=applications), heading, host)
        self._outbox.put(
            Outgoing(REPORT, topics.report(self._thing), tuple(part.to_json() for part in parts))
        )
        self._said = news
        self._heartbeat_at_s = now_s + self._jittered(self.interval_s)

    def hurry(self) -> None:
        """Have the next ``report`` go out even without a change."""
        self._heartbeat_at_s = 0.0

    def goodbye(self, reason: Literal["shutdown", "reboot"]) -> None:
        """Announce an orderly end, if the link takes it now; nothing depends on it."""
        event = self._event("goodbye", self._sequence.next(), reason=reason)
        self._outbox.put(Outgoing("goodbye", self._connection_topic, (event,), durable=False))

    def next_due_s(self) -> float:
        """Return when there is something to send without any event, on the monotonic clock."""
        return min(
            self._heartbeat_at_s, self._ask_at_s if self._ask_at_s is not None else self._heartbeat_at_s
        )

    @property
    def _connection_topic(self) -> str:
        return topics.connection(self._thing)

    def _say_hello(self) -> None:
        self._ask_at_s = None  # before it has gone out there is nothing to ask again
        self._hello_waits = True
        order = self._sequence.next()

        def make() -> bytes:
            """Return it as it goes out, so that its nonce tells the time by the way of the answer alone."""
            nonce = self._new_nonce()
            self._server_time.asked(nonce, self._clock.monotonic())
            return self._event("hello", order, nonce=nonce)

        self._outbox.put(Outgoing(HELLO, self._connection_topic, make=make, durable=False, first=True))

    def _event(
        self,
        event: Literal["hello", "goodbye"],
        order: tuple[str, int],
        *,
        nonce: str | None = None,
        reason: Literal["shutdown", "reboot"] | None = None,
    ) -> bytes:
        epoch, sequence = order
        return ConnectionEvent(
            event=event,
            at=self._clock.now(),
            epoch=epoch,
            sequence=sequence,
            boot_id=self._boot_id(),
            agent_version=AGENT_VERSION,
            level=LEVEL,
            nucleus=self._nucleus(),
            interval_s=self.interval_s,
            nonce=nonce,
            reason=reason,
        ).to_json()

    def _jittered(self, interval_s: float) -> float:
        return interval_s * (1 + HEARTBEAT_JITTER * (2 * self._random() - 1))


def _spared(what: str, measure: Callable[[], Told], otherwise: Told) -> Told:
    """Return what was measured, or ``otherwise``: no report is left out for what it can do without."""
    try:
        return measure()
    except Exception:
        log.exception("left out of the report: part=%s", what)
        return otherwise
