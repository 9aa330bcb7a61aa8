"""What the API says of a device's connection is true, whatever the broker's events went through."""

import json
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.platform import Dialect, Platform
from tests.platform.test_bad_input import api, dead_letters, logged
from tests.support.platform.lab import allow, until
from tests.support.platform.machines import KEEP_ALIVE_S, Machine

pytestmark = pytest.mark.platform

_MINUTE_MS = 60_000


def test_a_device_that_is_cut_off_without_a_goodbye_turns_offline_by_keep_alive_and_comes_back(
    robot: Machine,
) -> None:
    pid = robot.agent_pid()
    with robot.cut_off():
        seen = robot.becomes("offline", 3 * KEEP_ALIVE_S + 30)

        assert seen["reason"] == "mqtt-keep-alive-timeout"
        assert robot.agent_pid() == pid

    back = robot.becomes("online")

    assert back["since"] > seen["since"]
    assert robot.agent_pid() == pid


def test_a_device_that_comes_and_goes_is_seen_to_flap_and_its_day_is_kept(robot: Machine) -> None:
    flaps = robot.becomes("online")["flap_count"]
    for further in (1, 2):
        robot.device.power("disconnect 600")
        assert until(lambda: robot.shown()["flap_count"] == flaps + further, 30)  # noqa: B023 - used at once
        robot.device.power("connect")
        robot.becomes("online")

    assert robot.shown()["disconnect_reason"] == "connection-lost"
    status, history = robot.operator.get(f"{robot.path}/history")
    assert (status, history["device"]) == (200, robot.thing)
    newest = history["points"][-1]
    assert abs(datetime.fromisoformat(newest["at"]) - datetime.now(UTC)) < timedelta(minutes=15)
    assert newest["memory_available_bytes"] > 0
    assert newest["engine"] == robot.shown()["engine"]


def test_two_hundred_presence_events_out_of_order_and_twice_leave_the_truth(
    platform: Platform, robots: Mapping[Dialect, Machine]
) -> None:
    robot = robots["classic"]
    present, gone = "ghost-present", "ghost-gone"
    for ghost in (present, gone):
        platform.enroll(ghost, "line-9")
    story = sessions(present, 25, stays=True) + sessions(gone, 25, stays=False)
    events = story * 2 + random.Random(4).sample(story, 200 - 2 * len(story))
    random.Random(14).shuffle(events)
    assert len(events) == 200

    robot.lab.rule(  # nobody may publish below $aws: the events come by way of a rule
        robot.lab.everything_from("replay/presence/+/+"),
        {
            "republish": {
                "topic": "$aws/events/presence/${topic(3)}/${topic(4)}",
                "roleArn": robot.lab.role(allow("iot:Publish")),
                "qos": 1,
            }
        },
    )
    before = invocations(platform, "record-connection")
    for event in events:
        robot.publish(f"replay/presence/{event['eventType']}/{event['clientId']}", json.dumps(event).encode())

    reader = api(platform, "Fleet.Reader")
    assert until(lambda: quiet(platform, "record-connection", before + len(events)), 90)
    assert until(lambda: reader.get(f"/devices/{gone}")[1]["state"] == "offline", 30)
    assert reader.get(f"/devices/{gone}")[1]["reason"] == "connection-lost"
    assert reader.get(f"/devices/{present}")[1]["state"] == "stale"  # connected; no agent ever spoke
    assert dead_letters(platform) == 0


def invocations(platform: Platform, function: str) -> int:
    """How often a Lambda ran."""
    return sum(line.startswith("START ") for line in logged(platform, function))


def quiet(platform: Platform, function: str, ran: int) -> bool:
    """Whether a Lambda ran at least so often, and has nothing more to do."""
    now = invocations(platform, function)
    time.sleep(1)
    return ran <= now == invocations(platform, function)


def sessions(device: str, count: int, *, stays: bool) -> list[dict[str, Any]]:
    """A device's 2 × ``count`` connects and disconnects of ten minutes, by clocks two minutes apart.

    With ``stays`` the last session has no end, and the first one was told of twice instead.
    """
    now_ms, chance, events = int(time.time() * 1000), random.Random(device), []
    for version in range(count):
        at_ms = now_ms - 10 * _MINUTE_MS + version * 10 * _MINUTE_MS // count
        common = {"clientId": device, "sessionIdentifier": f"{device}-{version}", "versionNumber": version}
        for kind, reason in (("connected", {}), ("disconnected", {"disconnectReason": "CONNECTION_LOST"})):
            skew_ms = chance.randint(-2 * _MINUTE_MS, 2 * _MINUTE_MS)
            events.append({**common, "eventType": kind, "timestamp": at_ms + skew_ms, **reason})
    return [events[0], *events[:-1]] if stays else events
