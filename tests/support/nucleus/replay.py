"""Replays one recorded IPC scenario against the stand-in: raw frames out, every answer compared.

Answers are compared stream by stream, as the recording's README says; the order among streams is free.
"""

import base64
import json
import queue
import re
import socket
import threading
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from local.greengrass.nucleus.configuration.store import Configuration, Json
from local.greengrass.nucleus.dialect import Dialect
from local.greengrass.nucleus.eventstream import Decoder, Message, encode
from local.greengrass.nucleus.ipc import Components, MemoryBroker, Server

ANSWER_WITHIN_S = 10
OTHER = "com.example.Other"
THING = "my-core-01"

# What only the recorded answers tell: the other component (YAML recipe: strings) and the nucleus.
AROUND: dict[str, dict[str, Any]] = {
    OTHER: {
        "Interval": "5",
        "Ratio": "0.5",
        "Enabled": "true",
        "Name": "line 1",
        "List": ["1", "two"],
        "Nested": {"A": "hello"},
    },
    "aws.greengrass.Nucleus": {"awsRegion": "us-east-1"},
}
DEPLOYMENTS: dict[int, dict[str, Json]] = {
    1: {"Interval": 60, "Nested": {"A": "from deployment"}, "Added": {"k": "v"}},
    2: {"Interval": 5, "Nested": {"A": "hello"}},
}

_FROM_OUTSIDE = re.compile(r"broker: a message is published from outside on (\S+), QoS \d, payload '(.*)'")
_SIZED = re.compile(r"broker: a message of (\d+) bytes \"x\" is published from outside on (\S+), QoS \d")


class Replay:
    """One scenario and the nucleus it is played against."""

    def __init__(self, scenario: dict[str, Any], folder: Path, dialect: Dialect) -> None:
        given = scenario["given"]
        self._frames: list[dict[str, Any]] = scenario["frames"]
        self._component: str = given["component"]
        around = {name: values for name, values in AROUND.items() if name != self._component}
        configuration = {**around, self._component: given.get("configuration", {})}
        self._configuration = Configuration.of(dialect, configuration)
        self._components = Components([self._component, OTHER])
        self._tokens = {"<token>": self._components.issue_token(self._component)}
        self._broker = MemoryBroker()
        self._server = Server(
            folder / "ipc.socket",
            self._components,
            self._broker,
            self._configuration,
            dialect,
            thing=given["thingName"],
        )
        self._clients: dict[int, Client] = {}
        self._reconnecting = 0

    def play(self) -> None:
        """Go through the recording frame by frame; AssertionError where the stand-in answers otherwise."""
        with self._server, ExitStack() as self._sockets:
            for frame in self._frames:
                connection = frame.get("connection", 1)
                if "event" in frame:
                    self._enact(frame["event"], connection)
                elif frame["from"] == "client":
                    self._before_publish(frame)
                    self._clients[connection].send(self._as_message(frame))
                else:
                    self._clients[connection].expect(frame)

    def _enact(self, event: str, connection: int) -> None:
        if event == "connection opened by client":
            self._clients[connection] = Client(self._server.socket_path)
            self._sockets.callback(self._clients[connection].close)
        elif event == "connection closed by client":
            self._clients[connection].finish()
        elif event == "connection closed by server":
            self._clients[connection].expect_end()
        elif match := _FROM_OUTSIDE.fullmatch(event):
            self._broker.send(match[1], match[2].encode())
        elif match := _SIZED.fullmatch(event):
            self._broker.send(match[2], b"x" * int(match[1]))
        elif event == "broker stopped":
            self._broker.running = False
        elif event == "broker started":
            # The recorded nucleus is back at its third publish: its own back-off, which no client can see.
            self._reconnecting = 3
        elif event == "IPC server stopped":
            self._server.stop()
        elif event == "IPC server started":
            self._components.void_tokens()
            self._server.start()
        elif event == "IPC server restarted":
            self._server.restart()
        elif event == "component com.example.Probe restarted by the system":
            self._tokens["<new token>"] = self._components.issue_token(self._component)
        elif event == "com.example.Other updates its own key Name":
            self._configuration.update(OTHER, ["Name"], "another line", at_ms=10**13)
        elif match := re.fullmatch(r"deployment (\d) is requested by com.example.Deployer", event):
            self._configuration.merge("com.example.Probe", (), dict(DEPLOYMENTS[int(match[1])]), at_ms=10**13)
        else:
            assert re.fullmatch(r"deployment \d ended: SUCCEEDED", event), f"nobody enacts {event!r}"

    def _before_publish(self, frame: dict[str, Any]) -> None:
        operation = frame["headers"].get("operation", {}).get("value", "")
        if self._reconnecting and operation.endswith("#PublishToIoTCore"):
            self._reconnecting -= 1
            self._broker.running = self._reconnecting == 0

    def _as_message(self, frame: dict[str, Any]) -> Message:
        headers = {name: header["value"] for name, header in frame["headers"].items()}
        token = isinstance(frame["payload"], dict) and frame["payload"].get("authToken")
        if token in self._tokens:
            return Message(headers, json.dumps({"authToken": self._tokens[token]}).encode())
        message = Message(headers, recorded_payload(frame))
        if token is False or token is None:
            assert len(encode(message)) == frame["length"], "the recording is sent byte for byte"
        return message


class Client:
    """One connection: sends frames, sorts what comes back by stream."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._answers: dict[object, queue.SimpleQueue[Message | None]] = defaultdict(queue.SimpleQueue)
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        try:
            self._socket.connect(str(path))
        except OSError:
            # The recording's relay took the connection before it found no server behind it.
            self._ended.set()
            return
        self._reader.start()

    def send(self, message: Message) -> None:
        try:
            self._socket.sendall(encode(message))
        except OSError:
            assert self._ended.wait(ANSWER_WITHIN_S), "the server ends what cannot be written to"

    def expect(self, frame: dict[str, Any]) -> None:
        """The next message on that stream is the recorded one."""
        expected = {name: header["value"] for name, header in frame["headers"].items()}
        answer = self._answers[expected[":stream-id"]].get(timeout=ANSWER_WITHIN_S)
        assert answer is not None
        assert list(answer.headers.items()) == list(expected.items())
        assert _without_ids(answer.payload) == _without_ids(recorded_payload(frame))
        assert len(encode(answer)) == frame["length"]

    def expect_end(self) -> None:
        """The server closes, and has sent nothing that the recording does not have."""
        assert self._ended.wait(ANSWER_WITHIN_S), "the server should have closed the connection"
        self._nothing_is_left()

    def finish(self) -> None:
        """Close from this side; whatever the server still sends is too much."""
        if not self._ended.is_set():
            self._socket.shutdown(socket.SHUT_WR)
        self.expect_end()

    def close(self) -> None:
        """Let go of the socket, whatever happened before."""
        self._socket.close()

    def _nothing_is_left(self) -> None:
        left = {stream: answers.get() for stream, answers in self._answers.items() if not answers.empty()}
        assert left == {}

    def _read(self) -> None:
        decoder = Decoder()
        try:
            while data := self._socket.recv(65_536):
                for message in decoder.feed(data):
                    self._answers[message.headers[":stream-id"]].put(message)
        except OSError:
            pass
        self._ended.set()


def recorded_payload(frame: dict[str, Any]) -> bytes:
    """Return the bytes that went over the wire."""
    payload = frame["payload"]
    if isinstance(payload, dict) and set(payload) == {"base64"}:
        return base64.b64decode(payload["base64"])
    if "payload_text" in frame:
        return str(frame["payload_text"]).encode()
    if frame["from"] == "client":
        return json.dumps(payload).encode()
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def _without_ids(payload: bytes) -> bytes:
    return re.sub(rb'"deploymentId":"[0-9a-f-]{36}"', b'"deploymentId":""', payload)
