"""The port to the nucleus: messages in, messages out, configuration. The adapter is in ``edge.link``.

LinkError
├── NotSupported       this nucleus does not have the operation (Lite has seven): carry on without it
├── Unauthorized       accessControl of the recipe does not allow it
├── Missing            no such configuration key
├── PublishFailed      the message was not taken: keep it and try again
└── LinkDown           no connection, or no answer in time
    └── TokenRefused   a nucleus listens, and refuses this process's token
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, Protocol

#: 0: refused at once while the broker is away. 1: the classic nucleus spools it then, in memory.
QoS = Literal[0, 1]


class LinkError(Exception):
    """The nucleus did not carry the call out."""

    code: ClassVar[str] = "link-error"


class NotSupported(LinkError):
    """A ServiceError without a text, which is Nucleus Lite's answer to an operation that it does not have.

    ``said`` is its text where there is one: then the nucleus has the operation, and failed.
    """

    code = "not-supported"

    def __init__(self, what: str = "", *, said: str = "") -> None:
        super().__init__(what)
        self.said = said


class Unauthorized(LinkError):
    """The recipe's accessControl does not allow the operation."""

    code = "unauthorized"


class Missing(LinkError):
    """The configuration has no such key."""

    code = "missing"


class PublishFailed(LinkError):
    """The nucleus did not take the message, as Lite does whenever the broker is away."""

    code = "publish-failed"


class LinkDown(LinkError):
    """There is no connection, or it gave no answer in time."""

    code = "link-down"


class TokenRefused(LinkDown):
    """A nucleus listens and closes or denies at once: it restarted, and never takes this token again."""

    code = "token-refused"


class Link(Protocol):
    """The nucleus, as the loop's thread uses it. What arrives goes into the inbox given to the adapter.

    What the nucleus may take long to answer is only begun: ``LinkAnswered`` with the number given follows
    in the inbox, or never does. Every other method returns or raises within two seconds, and at once while
    the call before it is unanswered. Every method raises ``LinkDown`` without a connection.
    """

    def reconnect(self, number: int) -> None:
        """Begin to connect again; subscriptions of an earlier connection are gone, pending ones too.

        ``LinkAnswered`` has ``LinkDown`` where no nucleus listens, ``TokenRefused`` for a wrong token.
        """

    def subscribe(self, topic: str, number: int) -> None:
        """Begin to have every message on an MQTT topic put into the inbox as ``Received``.

        The classic nucleus does not answer before its first connection to the broker, and each one that
        was begun becomes a subscription then. ``LinkAnswered`` has ``Unauthorized`` where accessControl
        does not name the topic, ``NotSupported`` where it is refused without a reason, with Lite also
        while the broker is away.
        """

    def watch_configuration(self, number: int) -> None:
        """Begin to have ``ConfigurationChanged`` put into the inbox for every changed leaf."""

    def watch_updates(self, number: int, recheck_after_s: Callable[[str], float]) -> None:
        """Begin to answer the nucleus before it begins a deployment, on a thread of the link's.

        ``recheck_after_s`` gets the deployment's id, and returns at once after how long to be asked again;
        0 lets the deployment go on. ``LinkAnswered`` has ``NotSupported`` where this nucleus never asks.
        """

    def configuration(self, *key_path: str) -> Mapping[str, object]:
        """Return the component's configuration below ``key_path``; a scalar comes as ``{leaf: value}``.

        Raises:
            Missing: no such key.
            NotSupported: refused without a reason; with Lite when the answer would be over 10 KB.
        """

    def publish(self, topic: str, payload: bytes, qos: QoS) -> None:
        """Hand a message over for publishing.

        Raises:
            PublishFailed: it was not taken.
            Unauthorized: accessControl does not name the topic.
        """

    def close(self) -> None:
        """Close the connection; nothing is put into the inbox for it."""
