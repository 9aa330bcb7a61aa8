"""The link adapter, by the official SDK, against the IPC server that is held to the recorded nucleus."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest

from contract import topics
from contract.names import COMPONENT
from edge.aws.token_exchange import COMPONENT as TOKEN_EXCHANGE
from edge.configuration.settings import read_settings
from edge.events import ConfigurationChanged, Event, Inbox, LinkAnswered, LinkLost, MessageReceived
from edge.link.greengrass import ANSWER_S, UNANSWERED_S, GreengrassLink
from edge.ports.link import (
    LinkDown,
    LinkError,
    Missing,
    NotSupported,
    PublishFailed,
    QoS,
    TokenRefused,
    Unauthorized,
)
from local.greengrass.nucleus.configuration.store import Configuration, Json
from local.greengrass.nucleus.dialect import CLASSIC, LITE, Dialect
from local.greengrass.nucleus.ipc import Components, MemoryBroker, Server
from tests.support.edge.fakes import FakeClock
from tests.support.edge.gate import PUBLISH, SUBSCRIBE, Gate

pytestmark = pytest.mark.slow

THING = "robot-7"
REBOOT = topics.command_request(THING, "reboot")
REPORT = topics.report(THING)


class Nucleus:
    """An IPC server with this component's configuration and access, and a link to it."""

    def __init__(self, folder: Path, dialect: Dialect) -> None:
        self.configuration = Configuration.of(
            dialect, {COMPONENT: {"heartbeat_s": "5", "accessControl": _ACCESS}}
        )
        self.components = Components([COMPONENT])
        self.broker = MemoryBroker()
        self.server = Server(
            folder / "ipc.socket", self.components, self.broker, self.configuration, dialect, thing=THING
        )
        self.inbox = Inbox()
        self.clock = FakeClock()
        self.link = self.new_link(self.components.issue_token(COMPONENT))

    def new_link(self, token: str) -> GreengrassLink:
        return GreengrassLink(socket=str(self.server.socket_path), token=token, deliver=self.inbox.put)

    def merge(self, value: Json) -> None:
        self.configuration.merge(COMPONENT, (), value, at_ms=time.time_ns() // 1_000_000)

    def event(self) -> Event | None:
        return self.inbox.take(5.0)

    def answer(self, number: int) -> LinkError | None:
        """Wait for the answer to what was begun under a number, past what else happened; return its error."""
        while not (isinstance(found := self.event(), LinkAnswered) and found.number == number):
            assert found is not None
        return found.error

    def subscribe(self, topic: str = REBOOT) -> None:
        self.link.subscribe(topic, 7)
        assert self.answer(7) is None


_ACCESS: Json = {
    "aws.greengrass.ipc.mqttproxy": {
        f"{COMPONENT}:mqttproxy:1": {
            "operations": ["aws.greengrass#PublishToIoTCore"],
            "resources": [REPORT],
        },
        f"{COMPONENT}:mqttproxy:2": {
            "operations": ["aws.greengrass#SubscribeToIoTCore"],
            "resources": [REBOOT],
        },
    }
}


@pytest.fixture(params=[CLASSIC, LITE], ids=lambda dialect: dialect.name)
def nucleus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nucleus]:
    made = Nucleus(tmp_path, request.param)
    with made.server:
        made.link.connect()
        yield made
        made.link.close()


classic = pytest.mark.parametrize("nucleus", [CLASSIC], ids=lambda dialect: dialect.name, indirect=True)


def test_a_message_for_the_device_arrives_byte_for_byte_even_if_it_is_not_text(nucleus: Nucleus) -> None:
    nucleus.subscribe()

    nucleus.broker.send(REBOOT, b"\xff\x00 not JSON")

    assert nucleus.event() == MessageReceived(REBOOT, b"\xff\x00 not JSON")


def test_a_published_message_goes_out_with_its_qos(nucleus: Nucleus) -> None:
    nucleus.link.publish(REPORT, b'{"v":1}', 0)
    nucleus.link.publish(REPORT, b'{"v":1}', 1)

    assert [(m.topic, m.payload, m.qos) for m in nucleus.broker.published] == [
        (REPORT, b'{"v":1}', 0),
        (REPORT, b'{"v":1}', 1),
    ]


def test_publishing_while_the_broker_is_away_fails_and_leaves_the_link_good(tmp_path: Path) -> None:
    nucleus = Nucleus(tmp_path, LITE)
    with nucleus.server:
        nucleus.link.connect()
        nucleus.broker.running = False
        for qos in get_args(QoS):
            with pytest.raises(PublishFailed):
                nucleus.link.publish(REPORT, b"{}", qos)
        nucleus.link.subscribe(REBOOT, 1)
        assert isinstance(nucleus.answer(1), NotSupported)
        nucleus.broker.running = True

        nucleus.link.publish(REPORT, b"{}", 0)
        nucleus.link.close()

    assert nucleus.inbox.take() is None


def test_a_topic_that_access_control_does_not_name_is_unauthorized(nucleus: Nucleus) -> None:
    with pytest.raises(Unauthorized):
        nucleus.link.publish("dt/fleetgrass/robot-8/report", b"{}", 0)
    nucleus.link.subscribe("cmd/fleetgrass/robot-8/reboot/req", 1)
    assert isinstance(nucleus.answer(1), Unauthorized)


def test_a_changed_leaf_is_an_event_even_for_a_key_that_did_not_exist_when_watching_began(
    nucleus: Nucleus,
) -> None:
    nucleus.link.watch_configuration(1)
    assert nucleus.answer(1) is None

    nucleus.merge({"desired": {"document_uri": "s3://somewhere"}})

    assert nucleus.event() == ConfigurationChanged()
    assert read_settings(nucleus.link).settings.document_uri == "s3://somewhere"


def test_a_missing_key_is_told_apart_from_an_empty_one(nucleus: Nucleus) -> None:
    with pytest.raises(Missing):
        nucleus.link.configuration("desired")
    assert nucleus.link.configuration("heartbeat_s") == {"heartbeat_s": "5"}


def test_another_components_configuration_is_read_from_any_thread(nucleus: Nucleus) -> None:
    at_ms = time.time_ns() // 1_000_000
    nucleus.configuration.merge(TOKEN_EXCHANGE, (), {"port": "40123"}, at_ms=at_ms)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: nucleus.link.configuration_of(TOKEN_EXCHANGE), range(8)))

    assert found == [{"port": "40123"}] * 8
    with pytest.raises(Missing):
        nucleus.link.configuration_of("com.example.Ghost")


def test_a_configuration_too_large_for_one_answer_is_read_key_by_key(tmp_path: Path) -> None:
    nucleus = Nucleus(tmp_path, LITE)
    nucleus.merge(
        {"registry_mirrors": {"a": "b"}, "reboot_command": ["true", "-x"], "desired": {"document_uri": "u"}}
    )
    for number in range(12):
        nucleus.merge({"others": {f"key{number}": "x" * 1000}})
    with nucleus.server:
        nucleus.link.connect()
        with pytest.raises(NotSupported):
            nucleus.link.configuration()
        settings = read_settings(nucleus.link).settings
        nucleus.link.close()

    assert (settings.heartbeat_s, settings.document_uri) == (5.0, "u")
    assert (settings.registry_mirrors, settings.reboot_command) == ({"a": "b"}, ["true", "-x"])


def test_a_restarted_nucleus_loses_the_link_and_never_takes_the_old_token_again(nucleus: Nucleus) -> None:
    nucleus.subscribe()

    nucleus.server.restart()

    assert isinstance(nucleus.event(), LinkLost)
    nucleus.link.reconnect(1)
    assert isinstance(nucleus.answer(1), TokenRefused)
    with pytest.raises(LinkDown):
        nucleus.link.publish(REPORT, b"{}", 0)


def test_a_link_that_lost_its_connection_works_again_after_connecting_anew(nucleus: Nucleus) -> None:
    nucleus.server.stop()
    assert isinstance(nucleus.event(), LinkLost)
    nucleus.link.reconnect(1)
    away = nucleus.answer(1)
    assert isinstance(away, LinkDown)
    assert not isinstance(away, TokenRefused)
    nucleus.server.start()

    nucleus.link.reconnect(2)
    assert nucleus.answer(2) is None
    nucleus.subscribe()
    nucleus.broker.send(REBOOT, b"again")

    found = nucleus.event()
    while isinstance(found, LinkLost):
        found = nucleus.event()
    assert found == MessageReceived(REBOOT, b"again")


def test_news_of_a_lost_connection_has_the_number_that_it_was_made_under(nucleus: Nucleus) -> None:
    numbers = list[int]()
    for number in (0, 7, 8):
        if number:
            nucleus.server.start()
            nucleus.link.reconnect(number)
            assert nucleus.answer(number) is None
        nucleus.subscribe()
        nucleus.server.stop()
        found = nucleus.event()  # of the connection or of its stream, whichever is told first
        assert isinstance(found, LinkLost)
        numbers.append(found.number)
        numbers += [
            other.number
            for other in iter(lambda: nucleus.inbox.take(0.2), None)
            if isinstance(other, LinkLost)
        ]

    assert list(dict.fromkeys(numbers)) == [0, 7, 8]
    assert numbers == sorted(numbers)


def test_closing_the_link_is_not_losing_it(nucleus: Nucleus) -> None:
    nucleus.subscribe()
    nucleus.link.watch_configuration(1)
    assert nucleus.answer(1) is None

    nucleus.link.close()

    assert nucleus.inbox.take(0.2) is None
    with pytest.raises(LinkDown):
        nucleus.link.publish(REPORT, b"{}", 0)


def test_nobody_listening_is_a_link_that_is_down(tmp_path: Path) -> None:
    nucleus = Nucleus(tmp_path, CLASSIC)

    with pytest.raises(LinkDown):
        nucleus.link.connect()


@classic
def test_an_update_that_is_put_off_is_announced_again_and_nobody_takes_from_the_inbox_for_it(
    nucleus: Nucleus,
) -> None:
    waits, asked = [0.0, 0.1], list[str]()

    def recheck_after_s(deployment_id: str) -> float:
        asked.append(deployment_id)
        return waits.pop()

    nucleus.link.watch_updates(1, recheck_after_s)
    assert nucleus.answer(1) is None
    consultation, off = nucleus.components.consultation, threading.Event()
    began = time.monotonic()

    consultation.ask_to_update("d-1", 10, off)

    assert time.monotonic() - began < 5
    assert asked == ["d-1", "d-1"]
    consultation.updated("d-1")
    assert nucleus.inbox.take(0.2) is None


def test_lite_has_no_such_question_and_the_link_stays_good(tmp_path: Path) -> None:
    nucleus = Nucleus(tmp_path, LITE)
    with nucleus.server:
        nucleus.link.connect()
        nucleus.link.watch_updates(1, lambda _: 0.0)
        refused = nucleus.answer(1)
        assert isinstance(refused, NotSupported)
        assert refused.said == ""

        nucleus.link.publish(REPORT, b"{}", 0)
        nucleus.link.close()

    assert nucleus.inbox.take() is None


@pytest.fixture
def gate(nucleus: Nucleus, tmp_path: Path) -> Iterator[Gate]:
    """A gate through which the link is connected."""
    made = Gate(tmp_path / "gate.socket", nucleus.server.socket_path)
    nucleus.link.close()
    nucleus.link = GreengrassLink(
        socket=str(made.path),
        token=nucleus.components.issue_token(COMPONENT),
        deliver=nucleus.inbox.put,
        clock=nucleus.clock,
    )
    nucleus.link.connect()
    yield made
    nucleus.link.close()
    made.close()


def test_a_subscription_that_is_not_answered_keeps_nobody_waiting_and_is_one_subscription(
    nucleus: Nucleus, gate: Gate
) -> None:
    gate.holds = {SUBSCRIBE}
    began = time.monotonic()
    nucleus.link.subscribe(REBOOT, 1)
    nucleus.link.watch_configuration(2)
    nucleus.link.publish(REPORT, b"{}", 0)
    assert nucleus.answer(2) is None
    assert time.monotonic() - began < ANSWER_S
    assert nucleus.inbox.take(0.2) is None

    gate.open()
    assert nucleus.answer(1) is None
    nucleus.broker.send(REBOOT, b"once")

    assert nucleus.event() == MessageReceived(REBOOT, b"once")
    assert nucleus.inbox.take(0.2) is None


def test_a_subscription_that_is_never_answered_ends_with_its_connection(nucleus: Nucleus, gate: Gate) -> None:
    gate.holds = {SUBSCRIBE}
    nucleus.link.subscribe(REBOOT, 1)

    nucleus.server.stop()

    assert isinstance(nucleus.answer(1), LinkDown)


def test_a_publish_that_is_not_answered_costs_the_loop_its_wait_only_once(
    nucleus: Nucleus, gate: Gate
) -> None:
    nucleus.link.publish(REPORT, b"{}", 0)
    gate.holds = {PUBLISH}
    began = time.monotonic()
    with pytest.raises(LinkDown):
        nucleus.link.publish(REPORT, b"{}", 0)
    once_s = time.monotonic() - began

    for _ in range(50):
        with pytest.raises(LinkDown):
            nucleus.link.publish(REPORT, b"{}", 1)
        with pytest.raises(LinkDown):
            nucleus.link.configuration()

    assert once_s < ANSWER_S + 1
    assert time.monotonic() - began < once_s + 1
    assert gate.asked.count(PUBLISH) == 2
    nucleus.clock.advance(UNANSWERED_S)  # for ever would be mute for ever
    assert nucleus.link.configuration("heartbeat_s") == {"heartbeat_s": "5"}


def test_a_nucleus_that_accepts_and_says_nothing_does_not_keep_the_loop_from_its_work(
    tmp_path: Path,
) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "ipc.socket"))
    listener.listen()
    link = GreengrassLink(socket=str(tmp_path / "ipc.socket"), token="token", deliver=Inbox().put)
    began = time.monotonic()

    link.reconnect(1)

    assert time.monotonic() - began < 0.5
    link.close()
    listener.close()
