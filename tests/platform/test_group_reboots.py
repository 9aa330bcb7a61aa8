"""Group reboots through the real API, queue, Lambdas and broker."""

from collections.abc import Iterator
from typing import Any

import pytest

from contract.commands import CommandState
from local.demo.api_client import Api
from local.platform import Platform
from tests.support.platform.lab import until
from tests.support.platform.robots import Robot

pytestmark = [pytest.mark.platform, pytest.mark.engine]
GROUP = "wave-1"
NAMES = ("wave-a", "wave-b", "wave-c", "wave-d")


@pytest.fixture(scope="module")
def heard() -> list[tuple[str, str]]:
    """Every command that came and every answer that was given, in order."""
    return []


@pytest.fixture(scope="module")
def enrolled(platform: Platform, heard: list[tuple[str, str]]) -> Iterator[dict[str, Robot]]:
    robots = {name: Robot(platform, name, GROUP, heard) for name in NAMES}
    reader = Api(platform.api_url, platform.token("Fleet.Reader"))
    for name in NAMES:
        assert until(lambda: reader.get(f"/devices/{name}")[1].get("state") == "online", 60), name  # noqa: B023
    yield robots
    for robot in robots.values():
        robot.close()


@pytest.fixture
def robots(enrolled: dict[str, Robot], heard: list[tuple[str, str]]) -> dict[str, Robot]:
    heard.clear()
    for robot in enrolled.values():
        robot.fate, robot.hold = CommandState.SUCCEEDED, False
        robot.commands.clear()
    return enrolled


@pytest.fixture
def operator(platform: Platform) -> Api:
    return Api(platform.api_url, platform.token(f"Fleet.Operator:{GROUP}"))


def begin(operator: Api, **request: Any) -> str:
    status, body = operator.post(f"/groups/{GROUP}/reboots", {"reason": "update", **request})
    assert status == 202, body
    return f"/groups/{GROUP}/reboots/{body['id']}"


def ends(operator: Api, path: str) -> dict[str, Any]:
    assert until(lambda: operator.get(path)[1].get("ended_at") is not None, 60), operator.get(path)[1]
    return operator.get(path)[1]


def states(read: dict[str, Any]) -> list[str]:
    return [member["state"] for member in read["members"]]


def test_waves_go_one_after_another_and_no_device_is_commanded_twice(
    operator: Api, robots: dict[str, Robot], heard: list[tuple[str, str]]
) -> None:
    path = begin(operator, max_concurrent=2)

    read = ends(operator, path)

    assert (read["state"], states(read)) == ("SUCCEEDED", ["SUCCEEDED"] * 4)
    unproven = 0
    for _, what in list(heard):
        unproven += 1 if what == "commanded" else -1
        assert unproven <= 2
    assert [len(robot.commands) for robot in robots.values()] == [1] * 4
    assert {robot.commands[0].requested_by for robot in robots.values()} == {read["requested_by"]}


def test_a_device_that_fails_stops_the_rest(operator: Api, robots: dict[str, Robot]) -> None:
    robots["wave-b"].fate = CommandState.FAILED
    path = begin(operator)

    read = ends(operator, path)

    assert (read["state"], read["stopped_by"]) == ("FAILED", "failures")
    assert states(read) == ["SUCCEEDED", "FAILED", "NOT_STARTED", "NOT_STARTED"]
    (failure,) = read["failures"]
    assert (failure["code"], failure["command"]) == (
        "reboot-not-performed",
        robots["wave-b"].commands[0].id,
    )
    assert robots["wave-c"].commands == robots["wave-d"].commands == []


def test_a_cancelled_one_awaits_what_is_in_flight_and_starts_nothing(
    operator: Api, robots: dict[str, Robot]
) -> None:
    first = robots["wave-a"]
    first.hold = True
    path = begin(operator)
    assert until(lambda: len(first.commands) == 1, 60)
    status, problem = operator.post(f"/groups/{GROUP}/reboots", {"reason": "again"})
    assert (status, problem["code"]) == (409, "group-reboot-running")

    status, body = operator.post(f"{path}/cancel", {})

    assert (status, body["state"]) == (202, "STOPPING")
    assert "wave-a" in body["warnings"][0]
    first.finish(first.commands[0])
    read = ends(operator, path)
    assert (read["state"], states(read)) == ("CANCELLED", ["SUCCEEDED", *["NOT_STARTED"] * 3])
    assert [len(robot.commands) for robot in robots.values()] == [1, 0, 0, 0]


def test_the_groups_real_devices_reboot_one_after_the_other(platform: Platform) -> None:
    operator = Api(platform.api_url, platform.token("Fleet.Operator"))
    devices = [platform.devices[name] for name in ("robot-1", "robot-2")]
    for device in devices:
        path = f"/devices/{device.thing}"
        assert until(lambda: operator.get(path)[1].get("state") == "online", 100)  # noqa: B023
    before = [device.boot_id() for device in devices]
    status, body = operator.post("/groups/line-3/reboots", {"reason": "update"})
    assert status == 202, body

    read = ends(operator, f"/groups/line-3/reboots/{body['id']}")

    assert (read["state"], states(read)) == ("SUCCEEDED", ["SUCCEEDED", "SUCCEEDED"])
    first, second = read["members"]
    assert second["started_at"] >= first["changed_at"]
    assert all(device.boot_id() != old for device, old in zip(devices, before, strict=True))
