"""A device whose network or nucleus is gone: its containers are supervised, and no message comes twice."""

import re
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from contract.names import COMPONENT
from edge.ports.engine import LABEL_APPLICATION, LABEL_THING
from local.platform import Platform
from tests.platform.test_nuclei import report_now
from tests.support.platform.lab import until
from tests.support.platform.machines import Machine

pytestmark = pytest.mark.platform

APPLICATION = "guarded"
BACK_S = 20.0  # on a loaded machine; an idle one takes two


@pytest.fixture
def guarded(platform: Platform, robot: Machine) -> Iterator["Guarded"]:
    """The robot, with an application that runs."""
    status, body = robot.api("Fleet.Deployer").post(
        "/deployments",
        {
            "target": {"group": robot.group},
            "applications": [
                {
                    "name": APPLICATION,
                    "image": "fleetgrass/hello:v1",
                    "healthy_window_s": 2,
                    "stop_grace_s": 1,
                }
            ],
        },
    )
    assert status == 201, body
    assert until(lambda: states(robot).get(APPLICATION) == "RUNNING", 90), robot.shown()
    engine = docker.DockerClient(base_url=platform.docker_host)
    yield Guarded(robot, engine)
    engine.close()


class Guarded:
    def __init__(self, robot: Machine, engine: docker.DockerClient) -> None:
        self.robot = robot
        self._engine = engine

    def container(self) -> str | None:
        """The running container of the application on this device."""
        labels = [f"{LABEL_THING}={self.robot.thing}", f"{LABEL_APPLICATION}={APPLICATION}"]
        found = self._engine.containers.list(filters={"label": labels})
        return next((str(each.id) for each in found), None)

    def comes_back(self) -> bool:
        """Remove the container behind the agent's back; return whether another one takes its place."""
        gone = self.container()
        assert gone is not None
        self._engine.containers.get(gone).remove(force=True)
        return until(lambda: self.container() not in (None, gone), BACK_S)


def states(robot: Machine) -> dict[str, str]:
    return {each["name"]: each["state"] for each in robot.shown().get("applications") or []}


def test_a_device_that_boots_without_network_is_supervised_and_then_hears_each_command_once(
    robot: Machine, guarded: Guarded
) -> None:
    started, times = (robot.logged(COMPONENT, text) for text in ("agent started", "server time answered"))
    robot.device.turn_off()
    robot.becomes("offline")
    with robot.overheard() as heard:
        with robot.cut_off():
            robot.device.turn_on()
            assert until(lambda: robot.logged(COMPONENT, "agent started") > started, 60)
            assert guarded.comes_back()
            robot.becomes("offline")
            assert heard.messages == []
        robot.becomes("online")
        # What is published before it listens, Lite never gets; its tries to listen are up to a minute apart.
        assert until(lambda: robot.logged(COMPONENT, "server time answered") > times, 120)
        commands = [report_now() for _ in range(3)]
        handed_on = robot.handed_on("report-now")
        for command in commands:
            robot.deliver(command)
        for command in commands:
            assert until(lambda: bool(heard.results(command.id)))  # noqa: B023 - used at once

        assert robot.handed_on("report-now") == handed_on + len(commands)
        for command in commands:
            assert robot.logged(COMPONENT, f"command judged: id={command.id}") == 1
        said = [payload for topic, payload in heard.messages if topic.endswith("/connection")]
        assert all(b'"hello"' in payload for payload in said)
        assert len(said) <= 2  # one that waited may go out before anybody here hears its answer


def test_when_the_nucleus_dies_alone_one_agent_at_most_is_at_work_and_it_ends_well(
    robot: Machine, guarded: Guarded
) -> None:
    pid, before = robot.agent_pid(), len(spoken(robot))
    with robot.overheard() as heard:
        robot.device.power("kill-nucleus")
        assert until(lambda: robot.agent_pid() not in (None, pid) and len(spoken(robot)) > before + 1, 240), (
            agent_log(robot).read_text()[-4000:]
        )
        assert guarded.comes_back()
        robot.becomes("online")
        command = report_now()
        robot.deliver(command)
        assert until(lambda: bool(heard.results(command.id)))

        said = [(report["epoch"], report["sequence"], report.get("part", 0)) for report in heard.reports()]
    assert spoken(robot)[before:] == ["ended", "started"]  # the older one is gone before the newer one works
    assert said == sorted(set(said))
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()
    assert robot.logged("greengrass", f"component={COMPONENT} state=BROKEN") == 0


def spoken(robot: Machine) -> list[str]:
    """Which agents began and ended to work in the device's state folder, in order."""
    return re.findall(r"edge agent (started|ended): ", agent_log(robot).read_text())


def agent_log(robot: Machine) -> Path:
    """The agent's own log, in its state folder."""
    [log] = robot.device.folder.glob("fleetgrass/*/**/agent.log")
    return log
