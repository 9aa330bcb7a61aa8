"""The link adapter, by the official SDK, against the IPC server that is held to the recorded nucleus."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from contract import topics
from contract.names import COMPONENT
from edge.events import (
    ConfigurationChanged,
    ConfigurationProposed,
    Event,
    Inbox,
    LinkLost,
    Received,
    UpdateAnnounced,
)
from edge.link import LinkDown, LinkError, Missing, NotSupported, PublishFailed, Unauthorized
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


classic = pytest.mark.parametrize("nucleus", [CLASSIC], ids=lambda dialect: dialect.name, indirect=True)


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
    assert read_settings(nucleus.link).settings.document_uri == "s3://somewhere"


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
        settings = read_settings(nucleus.link).settings
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


def asking(nucleus: Nucleus, question: str) -> "Future[object]":
    """Have the nucleus ask its components, on a thread as a deployment does."""
    consultation, off = nucleus.components.consultation, threading.Event()
    found: Future[object] = Future()

    def ask() -> None:
        if question == "update":
            consultation.ask_to_update("d-1", 10, off)
            found.set_result(None)
        else:
            found.set_result(consultation.refusals("d-1", {COMPONENT: {"heartbeat_s": 5}}, 10, off))

    threading.Thread(target=ask, daemon=True).start()
    return found


@classic
@pytest.mark.parametrize(("refusal", "found"), [(None, {}), ("no room", {COMPONENT: "no room"})])
def test_a_proposed_configuration_arrives_and_the_verdict_goes_back(
    nucleus: Nucleus, refusal: str | None, found: object
) -> None:
    nucleus.link.watch_proposals()
    asked = asking(nucleus, "validity")
    assert nucleus.event() == ConfigurationProposed("d-1", {"heartbeat_s": 5})

    nucleus.link.judge("d-1", refusal)

    assert asked.result(5) == found
    with pytest.raises(LinkError):
        nucleus.link.judge("d-1", None)


@classic
def test_an_update_that_is_put_off_is_announced_again(nucleus: Nucleus) -> None:
    nucleus.link.watch_updates()
    asked = asking(nucleus, "update")
    assert nucleus.event() == UpdateAnnounced("d-1")

    nucleus.link.allow_update("d-1", after_s=0.1)
    assert nucleus.event() == UpdateAnnounced("d-1")
    nucleus.link.allow_update("d-1", after_s=0)

    asked.result(5)
    nucleus.components.consultation.updated("d-1")
    assert nucleus.inbox.take(0.2) is None


def test_lite_has_no_such_questions_and_the_link_stays_good(tmp_path: Path) -> None:
    nucleus = Nucleus(tmp_path, LITE)
    with nucleus.server:
        nucleus.link.connect()
        for watch in (nucleus.link.watch_updates, nucleus.link.watch_proposals):
            with pytest.raises(NotSupported):
                watch()

        nucleus.link.publish(REPORT, b"{}")
        nucleus.link.close()

    assert nucleus.inbox.take() is None
