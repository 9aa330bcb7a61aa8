"""The Unix socket: connections, streams and frames. One reader thread per connection.

A connection belongs to its reader thread; events come from whichever thread caused them, and a lock per
connection keeps frames whole. A client that takes nothing for five seconds is cut off, so that it cannot
hold up the others.
"""

import json
import logging
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from local.greengrass.nucleus.configuration.store import Configuration
from local.greengrass.nucleus.dialect import LITE, Dialect
from local.greengrass.nucleus.eventstream import Decoder, FramingError, Message, encode
from local.greengrass.nucleus.ipc.broker import Broker
from local.greengrass.nucleus.ipc.call import Call, Fields
from local.greengrass.nucleus.ipc.components import Components
from local.greengrass.nucleus.ipc.errors import OperationRefused, ServiceError
from local.greengrass.nucleus.ipc.operations import Operations
from local.greengrass.nucleus.ipc.payloads import dumps

log = logging.getLogger(__name__)

_APPLICATION, _ERROR, _PING, _PING_RESPONSE, _CONNECT, _CONNECT_ACK = 0, 1, 2, 3, 4, 5
_ACCEPTED, _END = 1, 2
_PREFIX = "aws.greengrass#"
_SEND_TIMEOUT_S = 5


class Server:
    """The IPC server of one nucleus; usable in a test's own process."""

    def __init__(
        self,
        socket_path: Path,
        components: Components,
        broker: Broker,
        configuration: Configuration,
        dialect: Dialect = LITE,
        *,
        thing: str = "",
    ) -> None:
        """Prepare to serve at ``socket_path``; ``thing`` is what ``{iot:thingName}`` stands for."""
        self.socket_path = socket_path
        self._components = components
        self._dialect = dialect
        self._operations = Operations(components, broker, configuration, dialect, thing)
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._connections: set[_Connection] = set()

    def start(self) -> None:
        """Accept connections from now on."""
        self.socket_path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.socket_path))
        self.socket_path.chmod(0o666)  # components run as several users; the token decides
        listener.listen()
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="ipc-accept", daemon=True).start()

    def stop(self) -> None:
        """Close everything without a frame, as the real server ends."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.socket_path.unlink(missing_ok=True)
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()
        for connection in connections:
            connection.join()

    def restart(self) -> None:
        """Stop, forget every token, and start again: a nucleus that was restarted."""
        self.stop()
        self._components.void_tokens()
        self.start()

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            connection = _Connection(
                accepted, self._components, self._operations, self._dialect, self._forget
            )
            with self._lock:
                self._connections.add(connection)
            connection.start()

    def _forget(self, connection: "_Connection") -> None:
        with self._lock:
            self._connections.discard(connection)


class _Connection:
    """One client's connection and its streams."""

    def __init__(
        self,
        accepted: socket.socket,
        components: Components,
        operations: Operations,
        dialect: Dialect,
        ended: Callable[["_Connection"], None],
    ) -> None:
        self._socket = accepted
        self._components = components
        self._operations = operations
        self._dialect = dialect
        self._ended = ended
        self._component: str | None = None
        self._streams: dict[int, _Stream] = {}
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name="ipc-connection", daemon=True)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_TIMEOUT_S, 0))

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=_SEND_TIMEOUT_S)

    def close(self) -> None:
        """End the connection from any thread; its own thread cleans up."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def send(self, message: Message) -> None:
        with self._writing:
            try:
                self._socket.sendall(encode(message))
            except OSError:
                self.close()

    def _serve(self) -> None:
        decoder = Decoder(limit_after_prelude=self._dialect.packet_bytes_after_prelude)
        try:
            while data := self._socket.recv(65_536):
                if not all(self._handle(message) for message in decoder.feed(data)):
                    break
        except FramingError as error:
            log.warning("ipc connection ended: component=%s code=%s", self._component, error.code)
        except OSError:
            log.debug("ipc connection lost: component=%s", self._component)
        finally:
            for stream in list(self._streams.values()):
                stream.close()
            self._socket.close()
            self._ended(self)

    def _handle(self, message: Message) -> bool:
        """Do what one frame asks; False ends the connection."""
        kind, flags = message.headers.get(":message-type"), message.headers.get(":message-flags", 0)
        stream_id = message.headers.get(":stream-id", 0)
        if not isinstance(flags, int) or not isinstance(stream_id, int):
            return False
        if self._component is None:
            return kind == _CONNECT and self._connect(message)
        if kind == _PING and self._dialect.answers_ping:
            self.send(_frame(_PING_RESPONSE, 0, 0, payload=message.payload))
            return True
        if kind != _APPLICATION or stream_id <= 0:
            return False
        operation = message.headers.get("operation")
        if isinstance(operation, str) and stream_id not in self._streams:
            self._call(stream_id, operation.removeprefix(_PREFIX), message.payload)
        elif flags & _END and stream_id in self._streams:
            self._streams.pop(stream_id).close()
        return True

    def _connect(self, message: Message) -> bool:
        try:
            token = json.loads(message.payload).get("authToken")
        except (ValueError, AttributeError):
            token = None
        self._component = self._components.owner(token) if isinstance(token, str) else None
        if self._component is None:
            log.warning("ipc connection refused: reason=token")
            if self._dialect.refuses_connection_with_a_frame:
                self.send(_frame(_CONNECT_ACK, 0, 0))
            return False
        self.send(_frame(_CONNECT_ACK, _ACCEPTED, 0))
        return True

    def _call(self, stream_id: int, operation: str, payload: bytes) -> None:
        stream = self._streams[stream_id] = _Stream(self, stream_id, self._dialect, f"{operation}Response")
        try:
            fields = _parse(payload)
            response = self._operations.perform(operation, Call(self._component or "", fields, stream))
            if stream.answers_later:
                return
            if len(dumps(response, self._dialect)) > self._dialect.answer_bytes:
                raise ServiceError("")
        except OperationRefused as error:
            stream.refuse(error)
            self._streams.pop(stream_id).close()
            return
        ends = self._dialect.ends_unary_streams and not operation.startswith("SubscribeTo")
        stream.respond(response, ends=ends)
        if ends:
            self._streams.pop(stream_id).close()


class _Stream:
    """One request with its response and what follows it; events wait until the response is out.

    Classic lets the cloud's messages of that time fall (by source, MqttProxyIPCAgent.forwardToSubscriber).
    """

    def __init__(self, connection: _Connection, stream_id: int, dialect: Dialect, answer: str) -> None:
        self._connection = connection
        self._id = stream_id
        self._dialect = dialect
        self._answer = answer
        self.answers_later = False
        self._lock = threading.Lock()
        self._waiting: list[Message] | None = []
        self._closing: list[Callable[[], None]] = []

    def event(self, shape: str, fields: Fields) -> None:
        message = self._message(_APPLICATION, 0, shape, fields)
        with self._lock:
            if self._waiting is not None:
                if shape != "IoTCoreMessage" or not self._dialect.drops_before_the_answer:
                    self._waiting.append(message)
            else:
                self._connection.send(message)

    def on_close(self, action: Callable[[], None]) -> None:
        self._closing.append(action)

    def answer_later(self) -> Callable[[], None]:
        self.answers_later = True
        return lambda: self.respond({}, ends=False)

    def respond(self, fields: Fields, *, ends: bool) -> None:
        with self._lock:
            self._connection.send(self._message(_APPLICATION, _END if ends else 0, self._answer, fields))
            for message in self._waiting or ():
                self._connection.send(message)
            self._waiting = None

    def refuse(self, error: OperationRefused) -> None:
        fields = {self._dialect.message_key: str(error), "_errorCode": error.shape}
        self._connection.send(self._message(_ERROR, _END, error.shape, fields))

    def close(self) -> None:
        while self._closing:
            self._closing.pop()()

    def _message(self, kind: int, flags: int, shape: str, fields: Fields) -> Message:
        return _frame(
            kind,
            flags,
            self._id,
            {":content-type": "application/json", "service-model-type": _PREFIX + shape},
            dumps(dict(fields), self._dialect),
        )


def _frame(
    kind: int, flags: int, stream_id: int, headers: dict[str, str] | None = None, payload: bytes = b""
) -> Message:
    protocol: dict[str, int | str] = {":message-type": kind, ":message-flags": flags, ":stream-id": stream_id}
    return Message({**protocol, **(headers or {})}, payload)


def _parse(payload: bytes) -> Fields:
    try:
        fields = json.loads(payload or b"{}")
    except ValueError as error:
        raise ServiceError("") from error
    if not isinstance(fields, dict):
        raise ServiceError("")
    return fields
