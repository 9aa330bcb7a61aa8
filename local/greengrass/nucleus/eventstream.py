"""AWS event-stream framing: bytes to messages and back.

One message: total length and headers length (big-endian 32 bit), CRC-32 of those eight bytes, headers,
payload, CRC-32 of all before it (Amazon Transcribe developer guide, "Event stream encoding").

Errors::

    FramingError            the bytes are no event stream, and nothing after them can be read
    └── MessageTooLarge     the prelude announces more than the decoder was told to take
"""

import struct
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

HeaderValue = bool | int | str | bytes | datetime | uuid.UUID

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGERS = {2: ">b", 3: ">h", 4: ">i", 5: ">q"}
_LARGEST = 16 * 1024 * 1024  # the limit the encoding itself sets on a payload


class FramingError(Exception):
    """The bytes are no event stream; the connection they came on is lost."""

    code = "bad-framing"


class MessageTooLarge(FramingError):
    """A message announces more bytes than this side accepts."""

    code = "message-too-large"


@dataclass(frozen=True, slots=True)
class Message:
    """One message; integers of whatever width decode to ``int`` and encode to 32 bits."""

    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    payload: bytes = b""


def encode(message: Message) -> bytes:
    """Return the bytes of ``message``, headers in their order."""
    headers = b"".join(_encode_header(name, value) for name, value in message.headers.items())
    total = _PRELUDE.size + len(headers) + len(message.payload) + _CRC.size
    lengths = struct.pack(">II", total, len(headers))
    body = lengths + _CRC.pack(zlib.crc32(lengths)) + headers + message.payload
    return body + _CRC.pack(zlib.crc32(body))


def _encode_header(name: str, value: HeaderValue) -> bytes:
    encoded_name = name.encode()
    head = bytes([len(encoded_name)]) + encoded_name
    match value:
        case bool():
            return head + (b"\x00" if value else b"\x01")
        case int():
            return head + b"\x04" + struct.pack(">i", value)
        case bytes():
            return head + b"\x06" + struct.pack(">H", len(value)) + value
        case str():
            text = value.encode()
            return head + b"\x07" + struct.pack(">H", len(text)) + text
        case datetime():
            milliseconds = (value - _EPOCH) // timedelta(milliseconds=1)
            return head + b"\x08" + struct.pack(">q", milliseconds)
        case uuid.UUID():
            return head + b"\x09" + value.bytes


class Decoder:
    """Makes messages of bytes that arrive in any portions. Once it has raised it is of no more use."""

    def __init__(self, *, limit_after_prelude: int = _LARGEST) -> None:
        """Take messages of at most ``limit_after_prelude`` bytes after their 12-byte prelude."""
        self._limit = limit_after_prelude
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield each message that ``data`` completes.

        Raises:
            FramingError: a checksum or a length is wrong.
            MessageTooLarge: as soon as the prelude of such a message is there, before its body.
        """
        self._buffer += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        if len(self._buffer) < _PRELUDE.size:
            return None
        total, headers_length, prelude_crc = _PRELUDE.unpack_from(self._buffer)
        if zlib.crc32(self._buffer[:8]) != prelude_crc:
            raise FramingError("prelude checksum")
        if total - _PRELUDE.size > self._limit:
            raise MessageTooLarge(f"{total} bytes")
        if headers_length > total - _PRELUDE.size - _CRC.size:
            raise FramingError("headers longer than the message")
        if len(self._buffer) < total:
            return None
        raw = bytes(self._buffer[:total])
        del self._buffer[:total]
        if zlib.crc32(raw[: -_CRC.size]) != _CRC.unpack(raw[-_CRC.size :])[0]:
            raise FramingError("message checksum")
        end_of_headers = _PRELUDE.size + headers_length
        try:
            headers = dict(_decode_headers(raw[_PRELUDE.size : end_of_headers]))
        except (struct.error, IndexError, ValueError, OverflowError) as error:
            raise FramingError(f"headers: {error}") from error
        return Message(headers=headers, payload=raw[end_of_headers : -_CRC.size])


def _decode_headers(data: bytes) -> Iterator[tuple[str, HeaderValue]]:
    at = 0
    while at < len(data):
        end_of_name = at + 1 + data[at]
        name = data[at + 1 : end_of_name].decode()
        kind = data[end_of_name]
        value, at = _decode_value(kind, data, end_of_name + 1)
        yield name, value


def _decode_value(kind: int, data: bytes, at: int) -> tuple[HeaderValue, int]:
    match kind:
        case 0 | 1:
            return kind == 0, at
        case 2 | 3 | 4 | 5:
            layout = _INTEGERS[kind]
            (number,) = struct.unpack_from(layout, data, at)
            return int(number), at + struct.calcsize(layout)
        case 6 | 7:
            (length,) = struct.unpack_from(">H", data, at)
            end = at + 2 + length
            if end > len(data):
                raise ValueError("a value runs over the end of the headers")
            value = data[at + 2 : end]
            return (value if kind == 6 else value.decode()), end
        case 8:
            (milliseconds,) = struct.unpack_from(">q", data, at)
            return _EPOCH + timedelta(milliseconds=milliseconds), at + 8
        case 9:
            return uuid.UUID(bytes=data[at : at + 16]), at + 16
        case _:
            raise ValueError(f"header type {kind}")
