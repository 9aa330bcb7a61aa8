"""Publishing to devices through the IoT data plane. Sends bytes; knows no topic and no message."""

from collections.abc import Callable
from typing import Any

from cloud.aws.clients import translated


class Publisher:
    """Publishes QoS 1 messages, never retained."""

    def __init__(self, iot_data: Callable[[], Any]) -> None:
        self._iot_data = iot_data  # asked for at the first message: many a caller has none to send

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand ``payload`` to the broker.

        Raises:
            Unavailable: it is unknown whether the broker has it.
            Refused: it does not.
        """
        with translated():
            self._iot_data().publish(topic=topic, qos=1, retain=False, payload=payload)
