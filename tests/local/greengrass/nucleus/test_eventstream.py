import socket
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from awscrt.eventstream import Header
from awscrt.eventstream.rpc import ClientConnection, ClientConnectionHandler, MessageType
from awscrt.io import ClientBootstrap, SocketDomain, SocketOptions
from hypothesis import given
from hypothesis import strategies as st

from local.greengrass.nucleus.eventstream import (
    Decoder,
    FramingError,
    HeaderValue,
    Message,
    MessageTooLarge,
    encode,
)

pytestmark = pytest.mark.slow

names = st.text(min_size=1, max_size=20)
values = st.one_of(
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.text(max_size=60),
    st.binary(max_size=60),
    st.uuids(),
    st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(
        lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
    ),
)
messages = st.builds(
    Message, headers=st.dictionaries(names, values, max_size=6), payload=st.binary(max_size=200)
)


@given(st.lists(messages, max_size=4), st.integers(1, 50))
def test_messages_come_out_as_they_went_in_whatever_the_portions(sent: list[Message], portion: int) -> None:
    stream, decoder = b"".join(encode(message) for message in sent), Decoder()
    received: list[Message] = []
    for at in range(0, len(stream), portion):
        received += decoder.feed(stream[at : at + portion])

    assert received == sent
    assert [list(message.headers) for message in received] == [list(message.headers) for message in sent]


@given(messages, st.data())
def test_one_wrong_bit_is_noticed(message: Message, data: st.DataObject) -> None:
    raw = bytearray(encode(message))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    try:
        received = list(Decoder().feed(bytes(raw)))
    except FramingError:
        return
    assert received == []


def test_a_message_over_the_limit_is_refused_as_soon_as_its_prelude_is_there() -> None:
    raw = encode(Message(payload=bytes(100)))

    assert list(Decoder(limit_after_prelude=len(raw) - 12).feed(raw)) == [Message(payload=bytes(100))]
    with pytest.raises(MessageTooLarge):
        list(Decoder(limit_after_prelude=len(raw) - 13).feed(raw[:12]))


def test_what_amazons_own_encoder_writes_is_read_with_every_type_of_header(tmp_path: Path) -> None:
    given_headers: dict[str, tuple[Header, HeaderValue]] = {
        "bool-true": (Header.from_bool("bool-true", True), True),
        "bool-false": (Header.from_bool("bool-false", False), False),
        "byte": (Header.from_byte("byte", -5), -5),
        "int16": (Header.from_int16("int16", -300), -300),
        "int32": (Header.from_int32("int32", 70_000), 70_000),
        "int64": (Header.from_int64("int64", 2**40), 2**40),
        "bytes": (Header.from_byte_buf("bytes", b"\x00\xff"), b"\x00\xff"),
        "text": (Header.from_string("text", "grüße"), "grüße"),
        "moment": (
            # The binding says seconds and writes the number as it is; the encoding's unit is the millisecond.
            Header.from_timestamp("moment", 1_700_000_000_000),
            datetime.fromtimestamp(1_700_000_000, UTC),
        ),
        "id": (Header.from_uuid("id", uuid.UUID(int=7)), uuid.UUID(int=7)),
    }
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        listener.settimeout(10)
        options = SocketOptions()
        options.domain = SocketDomain.Local
        handler = _Handler()
        connecting = ClientConnection.connect(
            handler=handler,
            host_name=str(tmp_path / "s"),
            port=0,
            bootstrap=ClientBootstrap.get_or_create_static_default(),
            socket_options=options,
        )
        accepted, _ = listener.accept()
        with accepted:
            connecting.result(10)
            assert handler.connection is not None
            handler.connection.send_protocol_message(
                headers=[header for header, _ in given_headers.values()],
                payload=b"payload",
                message_type=MessageType.CONNECT,
            )
            accepted.settimeout(10)
            decoder = Decoder()
            received: list[Message] = []
            while not received:
                received += decoder.feed(accepted.recv(4096))
        handler.connection.close().exception(10)

    (message,) = received
    assert message.payload == b"payload"
    assert {name: message.headers[name] for name in given_headers} == {
        name: value for name, (_, value) in given_headers.items()
    }
    assert message.headers[":message-type"] == 4


class _Handler(ClientConnectionHandler):  # type: ignore[misc]
    connection: ClientConnection | None = None

    def on_connection_setup(self, connection: ClientConnection, error: object, **_: object) -> None:
        self.connection = connection

    def on_connection_shutdown(self, reason: object, **_: object) -> None:
        pass

    def on_protocol_message(self, *_: object, **__: object) -> None:
        pass
