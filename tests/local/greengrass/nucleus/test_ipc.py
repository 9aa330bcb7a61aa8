"""The official SDK's client against the IPC server, in both dialects."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import awsiot.greengrasscoreipc
import pytest
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from local.greengrass.nucleus.configuration.store import Configuration, Json
from local.greengrass.nucleus.dialect import CLASSIC, DIALECTS, Dialect
from local.greengrass.nucleus.eventstream import Message, encode
from local.greengrass.nucleus.ipc import Components, MemoryBroker, Server
from local.greengrass.nucleus.ipc.broker import Deliver, nothing

ME, THING = "com.example.Me", "robot-1"
ACCESS: dict[str, Json] = {
    "aws.greengrass.ipc.mqttproxy": {"p": {"operations": ["*"], "resources": ["cmd/robot-1/#"]}},
    "aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["local/*"]}},
}


@dataclass
class Events:
    """What one subscription brought, in order."""

    arrived: list[Any] = field(default_factory=list)

    def of(self, count: int) -> list[Any]:
        """Wait for that many; return all there are."""
        deadline = time.monotonic() + 5
        while len(self.arrived) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        return list(self.arrived)


def until(true: Callable[[], bool]) -> bool:
    """Whether it came to be within five seconds."""
    deadline = time.monotonic() + 5
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return true()


class Nucleus:
    """A server with everything of it at hand, and a client connected to it."""

    def __init__(self, dialect: Dialect, folder: Path, broker: MemoryBroker | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.dialect = dialect
        self.broker = broker or MemoryBroker()
        self.restarted: list[str] = []
        self.components = Components([ME, "com.example.Other"], restart=self.restarted.append)
        self.configuration = Configuration.of(
            dialect, {ME: {"n": 5, "place": {"line": "a"}, "accessControl": dict(ACCESS)}}
        )
        self.server = Server(
            folder / "s", self.components, self.broker, self.configuration, dialect, thing=THING
        )
        self.server.start()
        self._clients: list[GreengrassCoreIPCClientV2] = []
        self.client = self.connect(self.components.issue_token(ME))

    def connect(self, token: str) -> GreengrassCoreIPCClientV2:
        connection = awsiot.greengrasscoreipc.connect(
            ipc_socket=str(self.server.socket_path), authtoken=token, timeout=5
        )
        client = GreengrassCoreIPCClientV2(client=connection)
        self._clients.append(client)
        return client

    def subscribed(
        self, subscribe: Callable[..., Any], closed: Callable[[], None] = lambda: None, **arguments: Any
    ) -> Events:
        """Subscribe with the SDK; return where the events go."""
        events = Events()
        subscribe(
            **arguments,
            on_stream_event=events.arrived.append,
            on_stream_error=lambda _: True,
            on_stream_closed=closed,
        )
        return events

    def stop(self) -> None:
        # The server first: closing a client with open streams makes its SDK log an error of its own.
        self.server.stop()
        for client in self._clients:
            client.close()


@pytest.fixture(params=["classic", "lite", "lite-main"])
def nucleus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nucleus]:
    running = Nucleus(DIALECTS[request.param], tmp_path)
    yield running
    running.stop()


def test_messages_go_to_the_cloud_and_come_from_it(nucleus: Nucleus) -> None:
    events = nucleus.subscribed(nucleus.client.subscribe_to_iot_core, topic_name="cmd/robot-1/+/req", qos="1")
    nucleus.client.publish_to_iot_core(topic_name="cmd/robot-1/x/res", qos="1", payload=b"\x00\xff")

    nucleus.broker.send("cmd/robot-1/reboot/req", b"\xffnot text")

    assert [event.message.payload for event in events.of(1)] == [b"\xffnot text"]
    assert [(p.topic, p.payload, p.qos) for p in nucleus.broker.published] == [
        ("cmd/robot-1/x/res", b"\x00\xff", 1)
    ]


def test_what_access_control_does_not_name_is_unauthorized_and_reaches_nobody(nucleus: Nucleus) -> None:
    with pytest.raises(model.UnauthorizedError):
        nucleus.client.publish_to_iot_core(topic_name="cmd/robot-2/x/res", qos="1", payload=b"")
    with pytest.raises(model.UnauthorizedError):
        nucleus.subscribed(nucleus.client.subscribe_to_iot_core, topic_name="#", qos="1")
    with pytest.raises(model.UnauthorizedError):
        nucleus.client.restart_component(component_name="com.example.Other")

    assert nucleus.broker.published == []
    assert nucleus.restarted == []


def test_classic_answers_no_subscription_before_its_first_connection_and_each_try_is_live_then(
    tmp_path: Path,
) -> None:
    nucleus = Nucleus(CLASSIC, tmp_path)
    nucleus.broker.connected = False
    events = Events()
    tries = []
    try:
        for _ in range(2):
            answered, _operation = nucleus.client.subscribe_to_iot_core_async(
                topic_name="cmd/robot-1/a/req",
                qos="1",
                on_stream_event=events.arrived.append,
                on_stream_error=lambda _: True,
                on_stream_closed=lambda: None,
            )
            tries.append(answered)
        with pytest.raises(TimeoutError):
            tries[0].result(0.3)
        # Other calls of the same connection are answered meanwhile.
        assert nucleus.client.get_configuration(key_path=["place"]).value == {"line": "a"}

        nucleus.broker.connect()
        for answered in tries:
            answered.result(5)
        nucleus.broker.send("cmd/robot-1/a/req", b"x")

        assert len(events.of(2)) == 2
        again = nucleus.subscribed(
            nucleus.client.subscribe_to_iot_core, topic_name="cmd/robot-1/b/req", qos="1"
        )
        nucleus.broker.send("cmd/robot-1/b/req", b"y")
        assert len(again.of(1)) == 1
    finally:
        nucleus.stop()


class Eager(MemoryBroker):
    """Has a message for whoever subscribes before the subscription counts as made."""

    def subscribe(
        self, topic_filter: str, qos: int, deliver: Deliver, taken: Callable[[], None] = nothing
    ) -> Callable[[], None]:
        stop = super().subscribe(topic_filter, qos, deliver)
        deliver(topic_filter, b"early")
        taken()
        return stop


def test_a_message_that_comes_before_its_subscription_is_answered_falls_in_classic(nucleus: Nucleus) -> None:
    eager = Nucleus(nucleus.dialect, nucleus.server.socket_path.parent / "eager", Eager())
    try:
        events = eager.subscribed(eager.client.subscribe_to_iot_core, topic_name="cmd/robot-1/a/req", qos="1")
        eager.broker.send("cmd/robot-1/a/req", b"later")

        expected = [b"later"] if nucleus.dialect.kind == "classic" else [b"early", b"later"]
        assert [event.message.payload for event in events.of(len(expected))] == expected
    finally:
        eager.stop()


def test_an_unanswered_subscription_whose_connection_was_closed_never_becomes_live(tmp_path: Path) -> None:
    nucleus = Nucleus(CLASSIC, tmp_path)
    nucleus.broker.connected = False
    try:
        gone = nucleus.connect(nucleus.components.token_of(ME))
        gone.subscribe_to_iot_core_async(
            topic_name="cmd/robot-1/a/req",
            qos="1",
            on_stream_event=lambda _: None,
            on_stream_error=lambda _: True,
            on_stream_closed=lambda: None,
        )
        assert until(lambda: bool(nucleus.broker.filters()))

        gone.close()

        assert until(lambda: not nucleus.broker.filters())
        nucleus.broker.connect()
        assert nucleus.broker.filters() == {}
    finally:
        nucleus.stop()


def test_classic_says_what_it_does_not_publish_and_why_in_words(tmp_path: Path) -> None:
    nucleus = Nucleus(CLASSIC, tmp_path)
    deep = "cmd/robot-1/3/4/5/6/7/8/9"
    try:
        with pytest.raises(model.UnauthorizedError) as unauthorized:
            nucleus.client.publish_to_iot_core(topic_name="cmd/robot-2/x", qos="1", payload=b"")
        with pytest.raises(model.ServiceError) as too_large:
            nucleus.client.publish_to_iot_core(topic_name="cmd/robot-1/x", qos="1", payload=bytes(131_073))
        with pytest.raises(model.ServiceError) as too_deep:
            nucleus.client.publish_to_iot_core(topic_name=deep, qos="1", payload=b"")
        nucleus.client.publish_to_iot_core(topic_name="cmd/robot-1/x", qos="1", payload=bytes(131_072))
    finally:
        nucleus.stop()

    assert unauthorized.value.message == "Not Authorized"
    assert too_large.value.message == (
        "Publish to topic cmd/robot-1/x failed: The publishing message size 131073 bytes exceeds the "
        "configured limit of 131072 bytes"
    )
    assert too_deep.value.message == (
        f"Publish to topic {deep} failed: The request topic must have no more than 7 forward slashes (/)"
    )


def test_a_policy_that_a_deployment_takes_away_holds_at_the_next_call(nucleus: Nucleus) -> None:
    nucleus.configuration.merge(
        ME, ("accessControl",), {"aws.greengrass.ipc.mqttproxy": {"p": {"resources": []}}}, at_ms=10
    )

    with pytest.raises(model.UnauthorizedError):
        nucleus.client.publish_to_iot_core(topic_name="cmd/robot-1/x/res", qos="1", payload=b"")


def test_a_change_of_the_configuration_is_an_event_and_is_read_again(nucleus: Nucleus) -> None:
    events = nucleus.subscribed(nucleus.client.subscribe_to_configuration_update, key_path=[])

    nucleus.configuration.merge(ME, (), {"place": {"line": "b"}}, at_ms=10)

    (event,) = events.of(1)
    assert event.configuration_update_event.key_path == ["place", "line"]
    assert nucleus.client.get_configuration(key_path=["place"]).value == {"line": "b"}


def test_a_scalar_comes_in_a_map(nucleus: Nucleus) -> None:
    assert nucleus.client.get_configuration(key_path=["n"]).value == {"n": 5}


def test_a_missing_key_is_not_found(nucleus: Nucleus) -> None:
    with pytest.raises(model.ResourceNotFoundError):
        nucleus.client.get_configuration(key_path=["nope"])
    with pytest.raises(model.ResourceNotFoundError):
        nucleus.subscribed(nucleus.client.subscribe_to_configuration_update, key_path=["nope"])


def test_the_message_of_an_error_reaches_the_client_of_classic_only(nucleus: Nucleus) -> None:
    with pytest.raises(model.ResourceNotFoundError) as raised:
        nucleus.client.get_configuration(key_path=["nope"])

    assert raised.value.message == (None if nucleus.dialect.kind == "lite" else "Key not found")


def test_a_component_hears_itself_on_a_wildcard_in_lite_only(nucleus: Nucleus) -> None:
    exact = nucleus.subscribed(nucleus.client.subscribe_to_topic, topic="local/a")
    wild = nucleus.subscribed(nucleus.client.subscribe_to_topic, topic="local/#")
    message = model.PublishMessage(json_message=model.JsonMessage(message={"n": 1}))

    nucleus.client.publish_to_topic(topic="local/a", publish_message=message)

    assert len(exact.of(1)) == 1
    assert len(wild.of(1) if nucleus.dialect.kind == "lite" else wild.arrived) == (
        nucleus.dialect.kind == "lite"
    )


def test_classic_takes_a_packet_that_lite_closes_the_connection_for(nucleus: Nucleus) -> None:
    def publish() -> None:
        nucleus.client.publish_to_iot_core(topic_name="cmd/robot-1/x", qos="1", payload=bytes(20_000))

    if nucleus.dialect.kind == "classic":
        publish()
        assert len(nucleus.broker.published[0].payload) == 20_000
    else:
        with pytest.raises(Exception, match=r"SOCKET_CLOSED|^$"):
            publish()
        assert nucleus.broker.published == []


def test_a_restarted_nucleus_closes_streams_and_knows_the_old_token_no_more(nucleus: Nucleus) -> None:
    closed = threading.Event()
    nucleus.subscribed(nucleus.client.subscribe_to_topic, closed.set, topic="local/a")
    token = nucleus.components.issue_token(ME)

    nucleus.server.restart()

    assert closed.wait(5)
    with pytest.raises(Exception, match=r"SOCKET_CLOSED|ACCESS_DENIED|Access|accept"):
        nucleus.connect(token)
    assert nucleus.connect(nucleus.components.issue_token(ME)).get_configuration(key_path=["place"]).value


@pytest.mark.parametrize(
    "nonsense", [b"GET / HTTP/1.1\r\n\r\n" * 2, encode(Message({":message-type": 4}, b"[]")), bytes(40)]
)
def test_bytes_that_are_no_connection_end_it_and_nobody_elses(nucleus: Nucleus, nonsense: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(5)
        stranger.connect(str(nucleus.server.socket_path))
        stranger.sendall(nonsense)
        while stranger.recv(1000):
            pass

    assert nucleus.client.get_configuration(key_path=["place"]).value == {"line": "a"}
