"""The ports that messages leave by."""

from typing import Protocol


class Broker(Protocol):
    """The way to the devices."""

    def publish(self, topic: str, payload: bytes) -> None: ...


class Queue(Protocol):
    """A queue that a function of ours reads."""

    def send(self, body: str) -> None: ...
