"""What still has to reach the cloud, in order, on disk whenever it could not be sent at once.

Nucleus Lite refuses every message while the broker is away, so the agent keeps its own. It stays
small without dropping anything that counts: one newest report, one newest result per command that
the ledger knows. What the ledger had no room for either goes first.
"""

import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.clock import Clock
from edge.link import Link, LinkError, Unauthorized
from edge.state import State, StateUnreadable, StateUnwritable

FILE = "outbox.json"
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 60.0
MESSAGES = 1_100  # the ledger's thousand results and what else there is; beyond, one must go

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One thing to say: payloads that go out one after the other on one topic.

    A newer one with the same ``key`` takes its place. ``durable`` ones survive a restart; ``expendable``
    ones are the first to go where there is no room.
    """

    key: str
    topic: str
    payloads: tuple[bytes, ...]
    durable: bool = True
    expendable: bool = False


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    key: str
    topic: str
    payloads: list[str]  # base64
    expendable: bool = False


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    messages: list[_Stored] = []


class Outbox:
    """Messages on their way out. All calls come from the loop's thread; none raises."""

    def __init__(
        self,
        *,
        state: State,
        link: Link,
        clock: Clock,
        spread: Callable[[float], float],
        on_sent: Callable[[Outgoing], None],
    ) -> None:
        self._state = state
        self._link = link
        self._clock = clock
        self._spread = spread
        self._on_sent = on_sent
        self._waiting: dict[str, Outgoing] = {m.key: m for m in self._load()}
        self._on_disk = tuple(self._waiting.values())
        self._failures = 0
        self._retry_at_s: float | None = None
        self._barred_until_s: dict[str, float] = {}  # by topic

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Outgoing) -> None:
        """Add a message at the end, in place of the one with its key; ``flush`` sends it."""
        self._waiting.pop(message.key, None)
        self._waiting[message.key] = message
        while len(self._waiting) > MESSAGES:
            expendable = (m.key for m in self._waiting.values() if m.expendable)
            oldest = next(expendable, next(iter(self._waiting)))
            del self._waiting[oldest]
            log.error("outbox is full, a message is gone: key=%s", oldest)

    def flush(self) -> None:
        """Send what waits, oldest first, until one cannot go; then again after a while, from that one on.

        One that this device may not send stays behind alone: a recipe that forgets the reports' topic
        must not cost the results of commands as well.
        """
        if self._retry_at_s is not None and self._clock.monotonic() < self._retry_at_s:
            self._keep()
            return
        self._retry_at_s = None
        now_s = self._clock.monotonic()
        for message in list(self._waiting.values()):
            if now_s < self._barred_until_s.get(message.topic, now_s):
                continue
            try:
                self._send(message)
            except Unauthorized:
                self._barred_until_s[message.topic] = now_s + self._spread(RETRY_MAX_S)
                log.error("message is not allowed: key=%s topic=%s", message.key, message.topic)
            except LinkError as error:
                self._try_later(error)
                break
            else:
                self._failures = 0
                self._on_sent(message)
        self._keep()

    def retry_now(self) -> None:
        """Forget the back-off: the link is new, and may be allowed more."""
        self._barred_until_s.clear()
        self.way_is_open()

    def way_is_open(self) -> None:
        """Forget the back-off: what comes in shows the broker; on Nucleus Lite, nothing else does."""
        self._failures = 0
        self._retry_at_s = None

    def next_due_s(self) -> float | None:
        """Return when to flush again, on the monotonic clock; None while nothing waits."""
        if not self._waiting:
            return None
        if self._retry_at_s is not None:
            return self._retry_at_s
        now_s = self._clock.monotonic()
        return min(self._barred_until_s.get(message.topic, now_s) for message in self._waiting.values())

    def _send(self, message: Outgoing) -> None:
        for payload in message.payloads:
            self._link.publish(message.topic, payload)
        if self._waiting.get(message.key) is message:
            del self._waiting[message.key]

    def _try_later(self, error: LinkError) -> None:
        wait_s = self._spread(min(RETRY_FIRST_S * 2**self._failures, RETRY_MAX_S))
        self._failures = min(self._failures + 1, 16)
        self._retry_at_s = self._clock.monotonic() + wait_s
        log.warning(
            "messages wait for the next try: messages=%d code=%s wait_s=%.1f",
            len(self._waiting), error.code, wait_s,
        )  # fmt: skip

    def _keep(self) -> None:
        """Make the disk hold what still waits; costs nothing while everything is sent at once."""
        durable = tuple(m for m in self._waiting.values() if m.durable)
        if durable == self._on_disk:
            return
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
            self._state.write(FILE, stored.model_dump_json(exclude_defaults=True).encode())
            self._on_disk = durable
        except StateUnwritable as error:
            log.error("outbox is not on disk: messages=%d error=%s", len(durable), error)

    def _load(self) -> list[Outgoing]:
        try:
            content = self._state.read(FILE)
            stored = _File() if content is None else _File.model_validate_json(content)
            return [
                Outgoing(
                    m.key,
                    m.topic,
                    tuple(base64.b64decode(p, validate=True) for p in m.payloads),
                    expendable=m.expendable,
                )
                for m in stored.messages
            ]
        except (StateUnreadable, ValidationError, ValueError) as error:
            self._state.set_aside(FILE, type(error).__name__)
            return []
