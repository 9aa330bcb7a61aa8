"""The link adapter, by the official SDK, against the IPC server that is held to the recorded nucleus."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import topics
from contract.names import COMPONENT
from edge.events import ConfigurationChanged, Event, Inbox, LinkLost, Received
from edge.link import LinkDown, Missing, NotSupported, PublishFailed, Unauthorized
from edge.link.greengrass import GreengrassLink
from edge.settings import read_settings
from local.core.configuration import Configuration, Json
from local.core.dialect import CLASSIC, LITE, Dialect
from local.core.ipc import Components, MemoryBroker, Server

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
        self.link = self.new_link(self.components.issue_token(COMPONENT))

    def new_link(self, token: str) -> GreengrassLink:
        return GreengrassLink(socket=str(self.server.socket_path), token=token, deliver=self.inbox.put)

    def merge(self, value: Json) -> None:
        self.configuration.merge(COMPONENT, (), value, at_ms=time.time_ns() // 1_000_000)

    def event(self) -> Event | None:
        return self.inbox.take(5.0)


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


def test_a_message_for_the_device_arrives_byte_for_byte_even_if_it_is_not_text(nucleus: Nucleus) -> None:
    nucleus.link.subscribe(REBOOT)

    nucleus.broker.send(REBOOT, b"\xff\x00 not JSON")

    assert nucleus.event() == Received(REBOOT, b"\xff\x00 not JSON")


def test_a_published_message_goes_out_with_qos_1(nucleus: Nucleus) -> None:
    nucleus.link.publish(REPORT, b'{"v":1}')

    assert [(m.topic, m.payload, m.qos) for m in nucleus.broker.published] == [(REPORT, b'{"v":1}', 1)]


def test_publishing_while_the_broker_is_away_fails_and_leaves_the_link_good(tmp_path: Path) -> None:
    nucleus = Nucleus(tmp_path, LITE)
    with nucleus.server:
        nucleus.link.connect()
        nucleus.broker.running = False
        with pytest.raises(PublishFailed):
            nucleus.link.publish(REPORT, b"{}")
        with pytest.raises(NotSupported):
            nucleus.link.subscribe(REBOOT)
        nucleus.broker.running = True

        nucleus.link.publish(REPORT, b"{}")
        nucleus.link.close()

    assert nucleus.inbox.take() is None


def test_a_topic_that_access_control_does_not_name_is_unauthorized(nucleus: Nucleus) -> None:
    with pytest.raises(Unauthorized):
        nucleus.link.publish("dt/fleetgrass/robot-8/report", b"{}")
    with pytest.raises(Unauthorized):
        nucleus.link.subscribe("cmd/fleetgrass/robot-8/reboot/req")


def test_a_changed_leaf_is_an_event_even_for_a_key_that_did_not_exist_when_watching_began(
    nucleus: Nucleus,
) -> None:
    nucleus.link.watch_configuration()

    nucleus.merge({"desired": {"document_uri": "s3://somewhere"}})

    assert nucleus.event() == ConfigurationChanged()
    assert read_settings(nucleus.link).document_uri == "s3://somewhere"


def test_a_missing_key_is_told_apart_from_an_empty_one(nucleus: Nucleus) -> None:
    with pytest.raises(Missing):
        nucleus.link.configuration("desired")
    assert nucleus.link.configuration("heartbeat_s") == {"heartbeat_s": "5"}


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
        settings = read_settings(nucleus.link)
        nucleus.link.close()

    assert (settings.heartbeat_s, settings.document_uri) == (5.0, "u")
    assert (settings.registry_mirrors, settings.reboot_command) == ({"a": "b"}, ["true", "-x"])


def test_a_restarted_nucleus_loses_the_link_and_never_takes_the_old_token_again(nucleus: Nucleus) -> None:
    nucleus.link.subscribe(REBOOT)

    nucleus.server.restart()

    assert isinstance(nucleus.event(), LinkLost)
    with pytest.raises(LinkDown):
        nucleus.link.connect()
    with pytest.raises(LinkDown):
        nucleus.link.publish(REPORT, b"{}")


def test_a_link_that_lost_its_connection_works_again_after_connecting_anew(nucleus: Nucleus) -> None:
    nucleus.server.stop()
    assert isinstance(nucleus.event(), LinkLost)
    nucleus.server.start()

    nucleus.link.connect()
    nucleus.link.subscribe(REBOOT)
    nucleus.broker.send(REBOOT, b"again")

    found = nucleus.event()
    while isinstance(found, LinkLost):
        found = nucleus.event()
    assert found == Received(REBOOT, b"again")


def test_closing_the_link_is_not_losing_it(nucleus: Nucleus) -> None:
    nucleus.link.subscribe(REBOOT)
    nucleus.link.watch_configuration()

    nucleus.link.close()

    assert nucleus.inbox.take(0.2) is None
    with pytest.raises(LinkDown):
        nucleus.link.publish(REPORT, b"{}")


def test_nobody_listening_is_a_link_that_is_down(tmp_path: Path) -> None:
    nucleus = Nucleus(tmp_path, CLASSIC)

    with pytest.raises(LinkDown):
        nucleus.link.connect()
