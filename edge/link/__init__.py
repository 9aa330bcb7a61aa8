"""The port to the nucleus: messages in, messages out, configuration. Adapters are in the other files.

LinkError
├── NotSupported       this nucleus does not have the operation (Lite has seven): carry on without it
├── Unauthorized       accessControl of the recipe does not allow it
├── Missing            no such configuration key
├── PublishFailed      the message was not taken: keep it and try again
└── LinkDown           no connection, or no answer in time
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol


class LinkError(Exception):
    """The nucleus did not do it."""

    code: ClassVar[str] = "link-error"


class NotSupported(LinkError):
    """A ServiceError without a word, which is how Nucleus Lite says that it has no such operation."""

    code = "not-supported"


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


class Link(Protocol):
    """The nucleus, as the loop's thread uses it. What arrives goes into the inbox given to the adapter.

    Every method raises ``LinkDown`` without a connection and returns or raises within seconds.
    """

    def connect(self) -> None:
        """Connect, or connect again; subscriptions of an earlier connection are gone.

        Raises:
            LinkDown: nobody listens, or the token is not (or no longer) good.
        """

    def subscribe(self, topic: str) -> None:
        """Have every message on an MQTT topic put into the inbox as ``Received``.

        Raises:
            Unauthorized: accessControl does not name the topic.
            NotSupported: refused without a reason; with Lite also while the broker is away.
        """

    def watch_configuration(self) -> None:
        """Have ``ConfigurationChanged`` put into the inbox for every changed leaf.

        Raises:
            NotSupported, Unauthorized: the nucleus refused.
        """

    def configuration(self, *key_path: str) -> Mapping[str, object]:
        """Return the component's configuration below ``key_path``; a scalar comes as ``{leaf: value}``.

        Raises:
            Missing: no such key.
            NotSupported: refused without a reason; with Lite when the answer would be over 10 KB.
        """

    def watch_updates(self) -> None:
        """Have ``UpdateAnnounced`` put into the inbox before the nucleus begins a deployment.

        Raises:
            NotSupported: this nucleus never asks.
        """

    def watch_proposals(self) -> None:
        """Have ``ConfigurationProposed`` put into the inbox before our configuration changes.

        Raises:
            NotSupported: this nucleus never asks.
        """

    def allow_update(self, deployment_id: str, *, after_s: float) -> None:
        """Answer ``UpdateAnnounced``: go on now (0), or ask again after that time.

        Raises:
            LinkError: nobody waits for the answer any more.
        """

    def judge(self, deployment_id: str, refusal: str | None) -> None:
        """Answer ``ConfigurationProposed``: None accepts.

        Raises:
            LinkError: nobody waits for the answer any more.
        """

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message over for publishing with QoS 1.

        Raises:
            PublishFailed: it was not taken.
            Unauthorized: accessControl does not name the topic.
        """

    def close(self) -> None:
        """Close the connection; nothing is put into the inbox for it."""
