"""The port to AWS IoT Core's message broker, topic filters, and a broker in memory.

Errors::

    BrokerUnavailable       there is no connection; the message or subscription was not taken
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

Deliver = Callable[[str, bytes], None]


class BrokerUnavailable(Exception):
    """There is no connection to the broker, and the dialect does not spool."""

    code = "broker-unavailable"


def nothing() -> None:
    """Do nothing: for whoever does not want to know when a subscription stands."""


class Broker(Protocol):
    """One MQTT connection that all components of the device share."""

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Hand the message to the connection (or its spool); success is not the broker's acknowledgement.

        Raises:
            BrokerUnavailable
        """

    def subscribe(
        self, topic_filter: str, qos: int, deliver: Deliver, taken: Callable[[], None] = nothing
    ) -> Callable[[], None]:
        """Call ``deliver(topic, payload)`` for whatever arrives on the filter; return how to stop it.

        ``taken`` is called once it counts as made: before this returns, or, where the nucleus was never
        connected in its life, when it is.

        Raises:
            BrokerUnavailable
        """


def matches(topic_filter: str, topic: str) -> bool:
    """Tell whether an MQTT topic filter takes ``topic`` (MQTT 3.1.1, section 4.7)."""
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    wanted, given = topic_filter.split("/"), topic.split("/")
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(given) or level not in ("+", given[at]):
            return False
    return len(wanted) == len(given)


class Subscriptions:
    """The subscribers of each filter on one connection; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[object, tuple[str, int, Deliver]] = {}

    def add(self, topic_filter: str, qos: int, deliver: Deliver) -> Callable[[], bool]:
        """Add one; the function returned takes it away and tells whether nobody wants the filter any more."""
        ticket = object()
        with self._lock:
            self._entries[ticket] = (topic_filter, qos, deliver)

        def remove() -> bool:
            with self._lock:
                removed = self._entries.pop(ticket, None) is not None
                return removed and all(entry[0] != topic_filter for entry in self._entries.values())

        return remove

    def filters(self) -> dict[str, int]:
        """Return each filter once, with the highest QoS that is asked for it."""
        with self._lock:
            wanted: dict[str, int] = {}
            for topic_filter, qos, _ in self._entries.values():
                wanted[topic_filter] = max(qos, wanted.get(topic_filter, 0))
            return wanted

    def dispatch(self, topic: str, payload: bytes) -> None:
        """Hand one message that the connection brought to all whose filter takes it."""
        with self._lock:
            receivers = [call for wanted, _, call in self._entries.values() if matches(wanted, topic)]
        for receive in receivers:
            receive(topic, payload)


class Waiting:
    """The callers that wait for the first connection of a nucleus' life; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[object, Callable[[], None]] = {}

    def add(self, taken: Callable[[], None]) -> Callable[[], None]:
        """Call ``taken`` at the next ``answer``; return how to give that up."""
        ticket = object()
        with self._lock:
            self._waiting[ticket] = taken

        def forget() -> None:
            with self._lock:
                self._waiting.pop(ticket, None)

        return forget

    def answer(self) -> None:
        """Call all who wait, in the order in which they came, once."""
        with self._lock:
            waiting, self._waiting = list(self._waiting.values()), {}
        for taken in waiting:
            taken()


@dataclass(frozen=True, slots=True)
class Published:
    """One message that a component sent to the cloud."""

    topic: str
    payload: bytes
    qos: int


@dataclass(slots=True)
class MemoryBroker:
    """A broker without a network: what components publish is in ``published`` and reaches subscribers.

    As mosquitto does, it sends a message once for each distinct filter of the connection that takes it.
    ``connected`` False is a classic nucleus before the first connection of its life: subscriptions are
    answered by nobody until ``connect``.
    """

    published: list[Published] = field(default_factory=list)
    running: bool = True
    connected: bool = True
    _subscriptions: Subscriptions = field(default_factory=Subscriptions)
    _waiting: Waiting = field(default_factory=Waiting)

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Record the message and deliver it to this connection's own subscribers."""
        self._require_running()
        self.published.append(Published(topic, payload, qos))
        if "#" not in topic and "+" not in topic:
            self.send(topic, payload)

    def subscribe(
        self, topic_filter: str, qos: int, deliver: Deliver, taken: Callable[[], None] = nothing
    ) -> Callable[[], None]:
        """See Broker."""
        self._require_running()
        remove = self._subscriptions.add(topic_filter, qos, deliver)
        forget = nothing
        if self.connected:
            taken()
        else:
            forget = self._waiting.add(taken)

        def stop() -> None:
            forget()
            remove()

        return stop

    def connect(self) -> None:
        """Be connected for the first time: whatever waited is answered, and live."""
        self.connected = True
        self._waiting.answer()

    def filters(self) -> dict[str, int]:
        """Return what is subscribed to, each filter once, answered or not."""
        return self._subscriptions.filters()

    def send(self, topic: str, payload: bytes) -> None:
        """Deliver a message from outside, as the cloud would publish it."""
        if self.running and self.connected:
            for _ in [wanted for wanted in self._subscriptions.filters() if matches(wanted, topic)]:
                self._subscriptions.dispatch(topic, payload)

    def _require_running(self) -> None:
        if not self.running:
            raise BrokerUnavailable("the broker is stopped")
