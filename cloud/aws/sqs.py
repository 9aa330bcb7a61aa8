"""Sending to a queue. Knows no message's meaning."""

from collections.abc import Callable
from typing import Any

from cloud.aws.clients import translated


class Queue:
    """One SQS queue."""

    def __init__(self, sqs: Callable[[], Any], url: str) -> None:
        self._sqs = sqs  # asked for at the first message, as many a caller has none to send
        self._url = url

    def send(self, body: str) -> None:
        """Put a message into the queue.

        Raises:
            Unavailable: it is unknown whether it is there.
            Refused: it is not.
        """
        with translated():
            self._sqs().send_message(QueueUrl=self._url, MessageBody=body)
