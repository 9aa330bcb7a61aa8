"""Base classes of all messages: commands are strict, reports are lenient.

A device refuses a message with unknown fields, so that no command is carried out in part; the cloud ignores
unknown fields, so that reports of an agent newer than the cloud are still recorded.

A model is built when it is first used (``defer_build``; pydantic does it under a lock from 2.14 on): every
Lambda imports some that it never reads, and one that is part of another needs no validator of its own.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time before the year 1 or after 9999 in UTC") from None


#: An aware time, normalised to UTC; naive times are refused.
Utc = Annotated[AwareDatetime, AfterValidator(_to_utc)]


class Message(BaseModel):
    """Base of strict and lenient messages: frozen, JSON with snake_case keys, defaults left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    def to_json(self) -> bytes:
        """Return the message as compact UTF-8 JSON; fields that hold None are left out."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def from_json(cls, payload: bytes | str) -> Self:
        """Return the message in ``payload``.

        Raises:
            pydantic.ValidationError: not JSON, not an object, or not this message.
        """
        return cls.model_validate_json(payload)

    def to_dict(self) -> dict[str, Any]:
        """Return the message as JSON types; fields that hold None are left out."""
        return self.model_dump(mode="json", exclude_none=True)


class Strict(Message):
    """Base of messages from cloud to device: an unknown field is an error."""


class Lenient(Message):
    """Base of messages from device to cloud: an unknown field is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)


def complaint(error: ValidationError) -> str:
    """Return the first thing that is wrong in one line: ``applications[2].env: Input should be …``.

    Never shows a value that was given: it may be a secret.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    return f"{path.removeprefix('.')}: {said}" if path else said
