"""Local publish/subscribe: messages between the components of one device; they never leave it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from local.greengrass.nucleus.ipc.broker import matches


@dataclass(frozen=True, slots=True)
class _Subscription:
    topic_filter: str
    component: str
    receives_own: bool
    deliver: Callable[[dict[str, object]], None]


class LocalTopics:
    """The subscribers of local topics; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: dict[object, _Subscription] = {}

    def subscribe(
        self,
        topic_filter: str,
        component: str,
        deliver: Callable[[dict[str, object]], None],
        *,
        receives_own: bool,
    ) -> Callable[[], None]:
        """Call ``deliver(event)`` for each message; return how to stop it."""
        ticket = object()
        with self._lock:
            self._subscriptions[ticket] = _Subscription(topic_filter, component, receives_own, deliver)

        def stop() -> None:
            with self._lock:
                self._subscriptions.pop(ticket, None)

        return stop

    def publish(self, topic: str, publisher: str, event: dict[str, object]) -> None:
        """Deliver ``event`` to everyone who wants ``topic``."""
        with self._lock:
            receivers = [
                subscription
                for subscription in self._subscriptions.values()
                if matches(subscription.topic_filter, topic)
                and (subscription.receives_own or subscription.component != publisher)
            ]
        for receiver in receivers:
            receiver.deliver(event)

    def end(self, topic: str) -> None:
        """Forget, without telling them, all subscriptions that want ``topic``."""
        with self._lock:
            for ticket, subscription in list(self._subscriptions.items()):
                if matches(subscription.topic_filter, topic):
                    del self._subscriptions[ticket]
