"""One IPC request to the nucleus, and its fields."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from local.greengrass.nucleus.ipc.errors import InvalidArgumentsError, ServiceError

Fields = Mapping[str, Any]


class Stream(Protocol):
    """The stream a call came on, which may send events after its response."""

    def event(self, shape: str, fields: Fields) -> None:
        """Send one event, never before the response."""

    def answer_later(self) -> Callable[[], None]:
        """Leave the call unanswered; the function returned answers it, without fields, from any thread."""

    def on_close(self, action: Callable[[], None]) -> None:
        """Run ``action`` once when the stream or its connection ends."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks, with which fields, on which stream."""

    component: str
    fields: Fields
    stream: Stream


def text(call: Call, name: str) -> str:
    """Return a field that must be a text with something in it. Raises InvalidArgumentsError."""
    value = call.fields.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidArgumentsError("Received invalid parameters.")
    return value


def key_path_of(call: Call) -> list[str]:
    """Return the configuration key path that is asked for. Raises InvalidArgumentsError."""
    path = call.fields.get("keyPath", [])
    if not isinstance(path, list) or not all(isinstance(key, str) for key in path):
        raise InvalidArgumentsError("Received invalid parameters.")
    return path


def qos_of(call: Call) -> int:
    """Return the quality of service, which comes as a number or as its text. Raises ServiceError."""
    given = call.fields.get("qos", "0")
    try:
        qos = int(given)
    except (TypeError, ValueError) as error:
        raise ServiceError("Failed to parse 'qos' string value.") from error
    if qos not in (0, 1, 2):
        raise ServiceError("'qos' not a valid value.")
    return qos


def blob(value: object) -> bytes:
    """Return the bytes that travel as base64. Raises InvalidArgumentsError."""
    try:
        return base64.b64decode(value if isinstance(value, str) else "", validate=True)
    except binascii.Error as error:
        raise InvalidArgumentsError("Received invalid parameters.") from error
