"""Presence events, hello and goodbye on their way into the row."""

import logging
from typing import Any

import pytest

from cloud.aws.errors import Unavailable
from cloud.domain.devices.diagnosis import explain
from cloud.domain.devices.diagnosis_facts import DiagnosisFacts
from cloud.domain.devices.presence import state
from cloud.functions.events import record_connection
from cloud.services.reboot_proofs import RebootProofs
from cloud.tables.devices import Devices
from cloud.tables.proofs import Proofs
from tests.support.cloud.api import NOW
from tests.support.cloud.devices import a_connection_event, a_rule_event, at, devices_table, recorded
from tests.support.cloud.emf import emitted
from tests.support.cloud.fakes import FakeQueue

CONNECTION = "dt/fleetgrass/robot-7/connection"


def record(event: object, devices: Devices, back: list[str] | None = None) -> str:
    proofs = Proofs(devices._table, "none")  # nothing reboots here
    reboots = RebootProofs(devices, proofs, FakeQueue())
    return record_connection.record(event, devices, (back if back is not None else []).append, reboots)


@pytest.fixture
def devices(dynamodb: Any) -> Devices:
    table, _ = devices_table(dynamodb)
    table.create("robot-7", "line-3", now=NOW)
    return table


def presence(name: str, received: float = 0, **changes: Any) -> dict[str, Any]:
    event = recorded(f"presence-{name}") | changes
    return a_rule_event(f"$aws/events/presence/{event['eventType']}/{event['clientId']}", event, received)


def said(event: str, sequence: int, **more: Any) -> dict[str, Any]:
    message = a_connection_event(sequence, event, **more)
    return a_rule_event(CONNECTION, message.to_json(), sequence)


def test_a_device_comes_and_goes(devices: Devices) -> None:
    assert record(presence("connected"), devices) == "changed"
    assert record(said("hello", 1), devices) == "changed"
    device = devices.get("robot-7")
    assert device is not None
    assert (device.connected, device.boot_id, device.goodbye) == (True, "boot-1", None)

    assert record(said("goodbye", 2, reason="reboot"), devices) == "unchanged"  # but for the goodbye itself
    assert record(presence("disconnected"), devices) == "changed"
    device = devices.get("robot-7")
    assert device is not None
    assert (device.connected, device.goodbye) == (False, "reboot")
    assert device.disconnect_reason == "mqtt-keep-alive-timeout"


@pytest.mark.parametrize("goodbye", [False, True])
def test_nothing_depends_on_a_goodbye(devices: Devices, goodbye: bool) -> None:
    """When the nucleus itself stops, the agent has no way to say one."""

    def seen(now: float) -> tuple[str, str]:
        device = devices.get("robot-7")
        assert device is not None
        found = state(device, at(now))
        first = explain(DiagnosisFacts(device, found, None))[1].code  # after the wish, of which there is none
        return found.state, first

    record(presence("connected"), devices)
    record(said("hello", 1), devices)
    if goodbye:
        record(said("goodbye", 2, reason="reboot"), devices)
    record(presence("disconnected", received=10), devices)
    assert seen(10 + 31) == ("offline", "device-offline")

    back = presence("connected", received=100, versionNumber=9, sessionIdentifier="after-the-boot")
    record(back, devices)
    assert seen(300)[0] == "stale"  # the core is there, its agent is not yet
    record(a_rule_event(CONNECTION, a_connection_event(3, boot_id="boot-2").to_json(), 310), devices)
    device = devices.get("robot-7")
    assert device is not None
    assert (device.boot_id, device.goodbye, device.connected) == ("boot-2", None, True)
    assert state(device, at(311)).state == "online"
    assert state(device, at(310 + 181)).state == "stale"  # an agent that dies alone says nothing either


def test_a_device_is_back_when_it_connects_and_whenever_it_says_hello(devices: Devices) -> None:
    back: list[str] = []
    heard = [
        record(presence("connected"), devices, back),
        record(said("hello", 1), devices, back),
        record(said("hello", 1), devices, back),  # Lambda tries again what failed after it was applied
    ]
    assert (back, heard[-1]) == (["robot-7"] * 3, "old")

    record(presence("connected"), devices, back)  # told twice, and no news
    record(said("goodbye", 2, reason="reboot"), devices, back)
    record(presence("disconnected"), devices, back)
    record(a_rule_event("dt/fleetgrass/ghost/connection", a_connection_event(1).to_json()), devices, back)
    assert back == ["robot-7"] * 3


def test_the_classic_false_offline_does_not_happen(devices: Devices) -> None:
    record(presence("connected"), devices)
    record(presence("connected", versionNumber=5, sessionIdentifier="newer"), devices)

    assert record(presence("duplicate-clientid"), devices) == "ignored"
    assert record(presence("disconnected"), devices) == "ignored"
    device = devices.get("robot-7")
    assert device is not None
    assert device.connected


@pytest.mark.parametrize(
    "event",
    [
        presence("connect-failed"),
        presence("connected", clientId="robot-7#2"),
        presence("disconnected", clientId="robot-7+"),
        presence("connected", clientId="who"),
    ],
)
def test_what_is_no_news_of_a_device_is_ignored(devices: Devices, event: dict[str, Any]) -> None:
    assert record(event, devices) == "ignored"
    assert devices.get("who") is None


def test_a_stranger_is_logged_and_gets_no_row(
    devices: Devices, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    event = a_rule_event("dt/fleetgrass/ghost/connection", a_connection_event(1).to_json())

    assert record(event, devices) == "not-enrolled"
    assert "device=ghost" in caplog.text
    assert emitted(capsys) == {"messages_of_unenrolled_devices": [1]}


@pytest.mark.parametrize(
    ("event", "size"),
    [
        (a_rule_event(CONNECTION, b"secret?"), 7),
        (a_rule_event(CONNECTION, b"\xff\xfesecret"), 8),
        (a_rule_event(CONNECTION, b""), 0),
        (a_rule_event(CONNECTION, b"[]"), 2),
        (a_rule_event(CONNECTION, {"event": "secret"}), 19),
        (a_rule_event("dt/fleetgrass//connection", a_connection_event(1).to_json()), None),
        (a_rule_event("$aws/events/presence/connected/robot-7", b"secret"), 6),
        (presence("connected", timestamp=10**15), None),  # no date that there is
        ({"payload": "not base64: secret", "topic": CONNECTION, "received_at": 1}, 18),
        ({"payload": 7, "topic": CONNECTION, "received_at": 1}, 0),
        ({"payload": "", "topic": CONNECTION, "received_at": "secret"}, 0),
        ({"payload": "", "topic": CONNECTION, "received_at": 10**18}, 0),
        ("secret", 0),
    ],
)
def test_a_malformed_message_is_logged_once_counted_and_changes_nothing(
    devices: Devices,
    event: object,
    size: int | None,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = devices.get("robot-7")

    assert record(event, devices) == "malformed"

    assert devices.get("robot-7") == before
    (line,) = caplog.messages
    assert f"size={size}" in line or size is None
    assert "secret" not in line
    assert emitted(capsys) == {"malformed_messages": [1]}


def test_a_topic_cannot_forge_a_log_line(devices: Devices, caplog: pytest.LogCaptureFixture) -> None:
    record(a_rule_event("dt/fleetgrass/x\nERROR all is lost/connection", b"{}"), devices)

    (line,) = caplog.messages
    assert "\n" not in line


def test_each_event_is_a_line_with_its_device_and_what_it_did(
    devices: Devices, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    topic = "$aws/events/presence/connected/robot-7"

    record(presence("connected"), devices)
    record(presence("connected"), devices)
    record(said("goodbye", 1, reason="reboot"), devices)

    assert caplog.messages == [
        f"presence: device=robot-7 connected=True effect=changed topic={topic}",
        f"presence: device=robot-7 connected=True effect=ignored topic={topic}",
        f"connection event: device=robot-7 goodbye=reboot effect=changed topic={CONNECTION}",
    ]


def test_what_may_work_again_is_raised_so_that_lambda_tries_again() -> None:
    class Broken(Devices):
        def apply(self, news: object) -> Any:
            raise Unavailable("throttled")

    with pytest.raises(Unavailable):
        record(said("hello", 1), Broken(None, "devices"))
