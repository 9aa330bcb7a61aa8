"""Events of the agent, and the one queue through which all of them reach the one owner thread."""

import queue
from dataclasses import dataclass

from contract.commands import Bundle
from edge.ports.link import LinkError
from edge.preflight.verdict import Verdict

WAITING_MESSAGES = 1_000  # more than this many unread messages is a flood; the rest is counted and dropped


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """An MQTT message arrived on a subscribed topic."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ConfigurationChanged:
    """Some leaf of the component's configuration changed: read all of it again."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The nucleus sent something on an open stream that its own client library could not read."""

    topic: str


@dataclass(frozen=True, slots=True)
class LinkAnswered:
    """The nucleus answered what was begun on the link under this number; without an error it was done."""

    number: int
    error: LinkError | None = None


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The connection to the nucleus, or a stream of it, closed without us.

    It may come before the answer that tells of the connection, which has a thread of its own.
    """

    reason: str
    number: int = 0  # under which the connection was begun; 0: it is the process' first


@dataclass(frozen=True, slots=True)
class Fetched:
    """A try to fetch the desired document ended: with its bytes, or with the error's code and text."""

    uri: str
    document: bytes | None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Examined:
    """A document was looked into; None where that failed, and nothing is known."""

    number: int  # of the question
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Collected:
    """A bundle of logs was uploaded, or was not: then with the error's code and text."""

    command_id: str
    bundle: Bundle | None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Progressed:
    """Work in the background ended: look again."""


@dataclass(frozen=True, slots=True)
class EngineChanged:
    """The engine tells of a change, which its list of containers may show a moment later."""


@dataclass(frozen=True, slots=True)
class ShutDown:
    """Say goodbye and end (SIGTERM)."""


Event = (
    MessageReceived
    | ConfigurationChanged
    | Unreadable
    | LinkAnswered
    | LinkLost
    | Fetched
    | Examined
    | Collected
    | Progressed
    | EngineChanged
    | ShutDown
)


class Inbox:
    """A queue that any thread, callback or signal handler may put into and one thread takes from."""

    def __init__(self) -> None:
        # SimpleQueue, because its put is re-entrant: a signal handler may interrupt a take.
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.dropped = 0  # messages refused by a full queue

    def put(self, event: Event) -> None:
        """Add an event; never blocks. A message beyond ``WAITING_MESSAGES`` is counted and dropped."""
        if isinstance(event, MessageReceived | Unreadable) and self._events.qsize() >= WAITING_MESSAGES:
            self.dropped += 1
            return
        self._events.put(event)

    def take(self, wait_s: float = 0.0) -> Event | None:
        """Return the next event, waiting at most ``wait_s``; None when there is none."""
        try:
            return self._events.get(timeout=wait_s) if wait_s > 0 else self._events.get_nowait()
        except queue.Empty:
            return None
