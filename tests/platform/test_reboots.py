"""Reboots through the whole platform, the same on both nuclei: each is proven, none happens twice."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

import pytest

from tests.support.platform.lab import until
from tests.support.platform.machines import Machine, message_of

pytestmark = pytest.mark.platform

#: What every proven reboot went through.
PROVEN = ["PENDING", "IN_PROGRESS", "SUCCEEDED"]


def test_a_command_that_arrives_five_times_reboots_once_and_ends_once(robot: Machine) -> None:
    before, boots, downs = robot.device.boot_id(), robot.boots(), robot.logged("greengrass", "power off:")
    with robot.overheard() as heard:
        status, command = robot.reboot()
        assert status == 202, command
        message = message_of(command)

        def answers() -> int:
            return [result["state"] for result in heard.results(command["id"])].count("SUCCEEDED")

        robot.deliver(message)
        robot.deliver(message)
        assert until(lambda: robot.logged("greengrass", "power off:") > downs, 30)
        robot.deliver(message)  # classic gets it when it is back, Lite never
        done = robot.ends(command["id"])
        robot.becomes("online")
        said = answers()
        robot.deliver(message)
        assert until(lambda: answers() > said, 30)

    assert until(lambda: robot.steps(command["id"]) == PROVEN, 30), (done, heard.results(command["id"]))
    assert robot.command(command["id"]) | {"transitions": ...} == done | {"transitions": ...}
    assert robot.boots() == boots + 1
    assert (done["boot_id_before"], done["boot_id"]) == (before, robot.device.boot_id())
    assert before != robot.device.boot_id()


def test_a_reboot_that_is_put_off_is_said_to_wait_and_comes_in_its_time(robot: Machine) -> None:
    boots = robot.boots()
    status, command = robot.reboot(delay_s=4)
    assert status == 202, command
    assert until(lambda: robot.command(command["id"])["state"] == "DELIVERED"), robot.command(command["id"])
    assert robot.boots() == boots

    done = robot.ends(command["id"])

    assert until(lambda: robot.steps(command["id"]) == [PROVEN[0], "DELIVERED", *PROVEN[1:]], 30), done
    done = robot.command(command["id"])
    started = {step["state"]: datetime.fromisoformat(step["at"]) for step in done["transitions"]}
    assert started["IN_PROGRESS"] >= datetime.fromisoformat(done["issued_at"]) + timedelta(seconds=4)
    robot.becomes("online")
    assert robot.boots() == boots + 1


def test_beyond_its_budget_a_device_refuses_to_reboot_unless_an_administrator_says_so(robot: Machine) -> None:
    robot.configure(reboot_budget=0)
    try:
        robot.becomes("online")
        refused = robot.ends(robot.reboot()[1]["id"])
        assert (refused["state"], refused["code"]) == ("REJECTED", "reboot-budget")

        assert robot.reboot(override_budget=True)[0] == 403
        status, command = robot.api("Fleet.Admin").post(
            f"{robot.path}/reboot", {"reason": "a test", "override_budget": True}
        )
        assert status == 202, command

        assert robot.ends(command["id"])["boot_id"] == robot.device.boot_id()
        assert robot.command(command["id"])["state"] == "SUCCEEDED"
    finally:
        robot.configure(reboot_budget=100)
    robot.becomes("online")


@pytest.mark.parametrize("away", [Machine.switched_off, Machine.cut_off])
def test_a_reboot_of_a_device_that_is_away_is_refused_and_one_that_may_wait_is_done_when_it_is_back(
    robot: Machine, away: Callable[[Machine], AbstractContextManager[None]]
) -> None:
    with away(robot):
        robot.becomes("offline")

        status, refusal = robot.reboot()
        assert (status, refusal["code"], refusal["state"]) == (409, "device-offline", "offline")

        status, waiting = robot.reboot(when_online=True)
        assert status == 202, waiting
        assert waiting["warnings"]
        assert robot.command(waiting["id"])["state"] == "PENDING"
    boots, before = robot.boots(), robot.device.boot_id()

    done = robot.ends(waiting["id"], 90)

    assert (done["state"], done.get("inferred", False)) == ("SUCCEEDED", False)
    assert (done["boot_id_before"], done["boot_id"]) == (before, robot.device.boot_id())
    assert before != robot.device.boot_id()
    robot.becomes("online")
    assert robot.boots() == boots + 1
