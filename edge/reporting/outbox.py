"""The outbox: what still has to reach the cloud, in order, on disk whenever it must not be lost.

Results go as QoS 1 and stay until the cloud acknowledges them. All else goes as QoS 0: while the broker is
away both nuclei refuse it at once, so that one hello and one newest report wait here, instead of a day of old
ones in a nucleus' spool. The outbox stays small without dropping anything that counts: one newest report, and
one newest result per command in the ledger. When it is full, results of commands that the ledger had no room
for are dropped first.
"""

import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from contract.commands import CommandResult, ResultAck
from edge.backoff import backoff_s
from edge.ports.clock import Clock
from edge.ports.link import Link, LinkError, PublishFailed, QoS, Unauthorized
from edge.ports.state import State, StateUnwritable
from edge.reporting.unacknowledged import Unacknowledged
from edge.storage.state_file import StateFile

FILE = "outbox.json"
RESULT = "result:"  # begins the key of a result; the command's id follows
RETRY_FIRST_S = 1.0
#: A refusal costs a call to the nucleus and no network, and nothing else tells that the broker is back: so
#: this is how much longer than its nucleus a device is silent after an outage.
RETRY_MAX_S = 10.0
BARRED_S = 60.0  # a topic that is not allowed is allowed by a deployment only
MESSAGES = 1_100  # the ledger's thousand results and what else there is; beyond, one must go
#: A start waits this long for the link, so that the subscription is there before an acknowledgement comes.
START_HOLD_S = 2.0
REPORT_KEPT_S = 600.0  # a report that cannot go out costs the disk one write in this time

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message: payloads that are published one after the other on one topic.

    A newer one with the same ``key`` takes its place. ``durable`` ones survive a restart; ``expendable``
    ones are the first to go where there is no room. ``make`` makes the payload at each try, for what would
    be too old by then; such a one is never durable.
    """

    key: str
    topic: str
    payloads: tuple[bytes, ...] = ()
    make: Callable[[], bytes] | None = None
    durable: bool = True
    expendable: bool = False
    first: bool = False  # goes out before what waits already

    @property
    def qos(self) -> QoS:
        """How it is published; what goes as QoS 1, a result, stays until it is acknowledged."""
        return 1 if self.key.startswith(RESULT) else 0


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    key: str
    topic: str
    payloads: list[str]  # base64
    expendable: bool = False


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    messages: list[_Stored] = []


@dataclass(slots=True)
class _Way:
    """The send state of one QoS: how often it was refused, and when to try again."""

    retry_at_s: float | None
    failures: int = 0


class Outbox:
    """Messages on their way out. All calls come from the loop's thread; none raises.

    ``on_sent`` gets what the nucleus took, a result only once it is on disk here as well; ``on_refused``
    is called after a flush in which the broker was away.
    """

    def __init__(
        self,
        *,
        state: State,
        link: Link,
        clock: Clock,
        spread: Callable[[float], float],
        on_sent: Callable[[Outgoing], None],
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._file = StateFile(state, FILE, _parse)
        self._link = link
        self._clock = clock
        self._spread = spread
        self._on_sent = on_sent
        self._on_refused = on_refused
        self._waiting: dict[str, Outgoing] = {m.key: m for m in self._file.read() or ()}
        self._on_disk = tuple(self._waiting.values())
        self._unacknowledged = Unacknowledged(state, (m.key for m in self._on_disk if m.qos))
        hold_s = clock.monotonic() + START_HOLD_S
        self._ways: dict[QoS, _Way] = {0: _Way(hold_s), 1: _Way(hold_s)}
        self._barred_until_s: dict[str, float] = {}  # by topic
        self._reports_fail = False  # since the last one that went out
        self._reports_kept_at_s = -REPORT_KEPT_S

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Outgoing) -> None:
        """Add a message at the end, in place of the one with its key; ``flush`` sends it."""
        before = self._waiting.pop(message.key, None)
        if before == message:
            self._unacknowledged.again(message.key, self._clock.monotonic())
        else:
            self._unacknowledged.forget(message.key)
        if message.first:
            self._waiting = {message.key: message, **self._waiting}
        else:
            self._waiting[message.key] = message
        while len(self._waiting) > MESSAGES:
            self._drop_one()

    def flush(self) -> None:
        """Send what waits, oldest first; what cannot go is tried again after a while.

        A way that is closed to reports is open to results: the classic nucleus refuses QoS 0 while the
        broker is away and spools QoS 1. Where no answer comes, everything waits. What this device may not
        send stays behind alone: a recipe that forgets the reports' topic must not cost the results.
        """
        now_s = self._clock.monotonic()
        closed = {q for q, way in self._ways.items() if way.retry_at_s is not None and now_s < way.retry_at_s}
        sent: list[Outgoing] = []
        refused = False
        for message in list(self._waiting.values()):
            if message.qos in closed or not self._is_due(message, now_s):
                continue
            try:
                self._send(message)
            except Unauthorized:
                self._barred_until_s[message.topic] = now_s + self._spread(BARRED_S)
                log.error("message is not allowed: key=%s topic=%s", message.key, message.topic)
            except PublishFailed as error:
                refused = True
                closed |= self._try_later((0, message.qos), error)
            except LinkError as error:
                closed |= self._try_later((0, 1), error)
            else:
                self._ways[message.qos] = _Way(None)
                sent.append(message)
        self._keep()
        kept = {m.key: m for m in self._on_disk}
        for message in sent:
            if not message.qos or kept.get(message.key) == message:
                self._on_sent(message)
        if refused:
            self._on_refused()

    def hello_went_out(self) -> None:
        """Send every result that is not acknowledged again."""
        self._unacknowledged.hello(self._clock.monotonic())

    def acknowledged(self, ack: ResultAck) -> CommandResult | None:
        """Remove a result, and return it; an acknowledgement of another state removes nothing."""
        message = self._waiting.get(f"{RESULT}{ack.id}")
        if message is None:
            return None
        result = CommandResult.from_json(message.payloads[0])
        if result.state != ack.state:
            return None
        self._forget(message.key)
        return result

    def retry_now(self) -> None:
        """Forget the back-off: the link is new, and may be allowed more."""
        self._barred_until_s.clear()
        self.way_is_open()

    def way_is_open(self) -> None:
        """Forget the back-off: an incoming message shows that the broker is there; on Lite, only that."""
        self._ways = {0: _Way(None), 1: _Way(None)}

    def next_due_s(self) -> float | None:
        """Return when to flush again, on the monotonic clock; None while nothing is to be sent."""
        return min((s for m in self._waiting.values() if (s := self._due_s(m)) is not None), default=None)

    def close(self) -> None:
        """Make the disk hold all that waits, the newest report too."""
        self._keep(whole=True)

    def _due_s(self, message: Outgoing) -> float | None:
        due_s = self._unacknowledged.due_s(message.key) if message.qos else 0.0
        if due_s is None:
            return None
        return max(
            due_s, self._ways[message.qos].retry_at_s or 0.0, self._barred_until_s.get(message.topic, 0.0)
        )

    def _is_due(self, message: Outgoing, now_s: float) -> bool:
        if now_s < self._barred_until_s.get(message.topic, now_s):
            return False
        return not message.qos or self._unacknowledged.is_due(message.key, now_s)

    def _send(self, message: Outgoing) -> None:
        for payload in message.payloads if message.make is None else (message.make(),):
            self._link.publish(message.topic, payload, message.qos)
        if message.qos:
            self._unacknowledged.handed_over(message.key, self._clock.monotonic())
        else:
            self._waiting.pop(message.key, None)
            self._reports_fail = False

    def _try_later(self, ways: tuple[QoS, ...], error: LinkError) -> set[QoS]:
        now_s = self._clock.monotonic()
        for qos in set(ways):
            way = self._ways[qos]
            failures = way.failures + 1
            wait_s = self._spread(backoff_s(failures, RETRY_FIRST_S, RETRY_MAX_S))
            self._ways[qos] = _Way(now_s + wait_s, failures)
        self._reports_fail = True
        longest = backoff_s(way.failures, RETRY_FIRST_S, RETRY_MAX_S) >= RETRY_MAX_S
        log.log(  # a night of it is said once
            logging.DEBUG if longest else logging.WARNING,
            "messages wait for the next try: messages=%d code=%s wait_s=%.1f",
            len(self._waiting), error.code, wait_s,
        )  # fmt: skip
        return set(ways)

    def _drop_one(self) -> None:
        expendable = (m.key for m in self._waiting.values() if m.expendable)
        said = (m.key for m in self._waiting.values() if m.qos and self._unacknowledged.is_said(m.key))
        results = (m.key for m in self._waiting.values() if m.qos)
        oldest = next(expendable, None) or next(said, None) or next(results)
        log.error("outbox is full, a message is gone: key=%s", oldest)
        self._forget(oldest)

    def _forget(self, key: str) -> None:
        del self._waiting[key]
        self._unacknowledged.forget(key)

    def _keep(self, *, whole: bool = False) -> None:
        """Make the disk hold the results that wait, at once, and the report that fails, now and then."""
        for key in self._unacknowledged.given_up():
            log.warning("result was never acknowledged: key=%s", key)
            self._forget(key)
        self._unacknowledged.keep()
        now_s = self._clock.monotonic()
        results = tuple(m for m in self._waiting.values() if m.qos)
        others = tuple(m for m in self._waiting.values() if m.durable and not m.qos)
        kept = tuple(m for m in self._on_disk if not m.qos)
        if not (whole or self._reports_fail):
            others = tuple(m for m in kept if m.key in self._waiting)
        renewed = others != kept and (now_s >= self._reports_kept_at_s + REPORT_KEPT_S or whole)
        gone = any(m.key not in self._waiting for m in kept)
        if results == tuple(m for m in self._on_disk if m.qos) and not renewed and not gone:
            return
        durable = tuple(m for m in self._waiting.values() if m.qos or m in others)
        durable += tuple(m for m in others if m not in durable)
        stored = _File(
            messages=[
                _Stored(
                    key=m.key,
                    topic=m.topic,
                    payloads=[base64.b64encode(p).decode() for p in m.payloads],
                    expendable=m.expendable,
                )
                for m in durable
            ]
        )
        try:
            self._file.write(stored.model_dump_json(exclude_defaults=True).encode())
            self._on_disk = durable
            if others != kept:
                self._reports_kept_at_s = now_s
        except StateUnwritable as error:
            log.error("outbox is not on disk: messages=%d error=%s", len(durable), error)


def _parse(content: bytes) -> list[Outgoing]:
    return [
        Outgoing(
            m.key,
            m.topic,
            tuple(base64.b64decode(p, validate=True) for p in m.payloads),
            expendable=m.expendable,
        )
        for m in _File.model_validate_json(content).messages
    ]
