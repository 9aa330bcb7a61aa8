"""Messages from IoT rules: which device and kind of message, and when the server received it.

The rules select ``encode(*, 'base64') AS payload, topic() AS topic, clientid() AS client, timestamp() AS
received_at``, so that a payload which is not JSON arrives too. The device is the topic's, never the
payload's: the broker lets a device publish under its own name only.
"""

import base64
import binascii
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from cloud.aws.attributes import storable
from cloud.domain.devices.device_messages import DeviceMessage
from cloud.domain.devices.presence import PresenceEvent
from cloud.domain.timestamps import LATEST_MS, from_ms
from cloud.telemetry.logs import log_event
from cloud.telemetry.metrics import Metric, count
from contract.commands import CommandResult
from contract.events import ConnectionEvent
from contract.names import ThingName
from contract.reports import DeviceReport
from contract.topics import thing_of

log = logging.getLogger(__name__)

_THING = TypeAdapter(ThingName)
Model = TypeVar("Model", bound=BaseModel)


class Malformed(Exception):
    """A message that cannot be parsed; ``reason`` repeats nothing of its content."""

    code = "malformed-message"

    def __init__(self, topic: str, size: int, reason: str) -> None:
        super().__init__(reason)
        self.topic = re.sub(r"[^!-~]", "?", topic)[:256]
        self.size = size
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RuleMessage:
    """One message as it came, its payload not parsed yet."""

    topic: str
    payload: bytes
    received_at: datetime

    @classmethod
    def of(cls, event: object) -> "RuleMessage":
        """Return the message in a rule's ``event``.

        Raises:
            Malformed: the event is not what our rules send.
        """
        if not isinstance(event, Mapping):
            raise Malformed("", 0, "not a rule's event")
        topic, encoded, at = event.get("topic"), event.get("payload"), event.get("received_at")
        topic = topic if isinstance(topic, str) else ""
        if not isinstance(encoded, str) or not isinstance(at, int) or not 0 <= at < LATEST_MS:
            raise Malformed(topic, len(encoded) if isinstance(encoded, str) else 0, "not a rule's event")
        try:
            payload = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise Malformed(topic, len(encoded), "its payload is not base64") from None
        return cls(topic=topic, payload=payload, received_at=from_ms(at))

    @property
    def device(self) -> str:
        """The thing that the topic names.

        Raises:
            Malformed: it names none that could exist.
        """
        try:
            return _THING.validate_python(thing_of(self.topic))
        except ValidationError:
            raise self.malformed("its topic names no thing") from None

    def malformed(self, reason: str) -> Malformed:
        """Return the refusal of this message."""
        return Malformed(self.topic, len(self.payload), reason)

    def presence(self) -> PresenceEvent:
        """Return the presence event. Raises: Malformed."""
        return self._parse(PresenceEvent)

    def connection(self) -> DeviceMessage:
        """Return the hello or goodbye. Raises: Malformed."""
        return DeviceMessage(self.device, self._parse(ConnectionEvent), self.received_at)

    def report(self) -> DeviceMessage:
        """Return the part of a report. Raises: Malformed."""
        return DeviceMessage(self.device, self._parse(DeviceReport), self.received_at)

    def result(self) -> CommandResult:
        """Return the command's result. Raises: Malformed."""
        return self._parse(CommandResult)

    def _parse(self, model: type[Model]) -> Model:
        try:
            message = model.model_validate_json(self.payload)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(step) for step in first["loc"]) or "payload"
            raise self.malformed(f"{where}: {first['type']}") from None
        if not storable(message.model_dump(mode="json")):
            raise self.malformed("a number that no table keeps")
        return message


def refuse(malformed: Malformed) -> None:
    """Log a malformed message once, with its topic and size, and count it."""
    log_event(
        log, "malformed message", level=logging.WARNING,
        topic=malformed.topic, size=malformed.size, reason=malformed.reason,
    )  # fmt: skip
    count(Metric.MALFORMED_MESSAGES)


def not_enrolled(device: str, topic: str) -> None:
    """Log and count a message of something that was never enrolled."""
    log_event(log, "message of no enrolled device", level=logging.WARNING, device=device, topic=topic)
    count(Metric.MESSAGES_OF_UNENROLLED_DEVICES)
