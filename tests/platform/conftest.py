import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

import pytest

from local.aws.account import LocalAws
from local.docker.engine import EngineUnavailable
from local.platform import Dialect, Platform
from local.process.children import free_ports
from tests.support.platform.lab import Lab, until
from tests.support.platform.machines import Machine, add_machine


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The mended emulator alone: no stack, no control plane, no engine."""
    folder: Path = tmp_path_factory.mktemp("emulator")
    port, mqtt_port, control_plane = free_ports(3)
    aws = LocalAws(folder, port=port, mqtt_port=mqtt_port, control_plane=f"http://127.0.0.1:{control_plane}")
    yield Lab(aws, folder, control_plane)
    aws.stop()


@pytest.fixture(scope="session", autouse=True)
def every_minute(lab: Lab) -> str:
    """The queue that a scheduled function writes to; made early, so that its minute passes meanwhile."""
    seen, name = lab.queue(), lab.name()
    function = lab.function("def handler(event, context): tell(event)", seen=seen)
    events = lab.client("events")
    events.put_rule(Name=name, ScheduleExpression="rate(1 minute)", State="ENABLED")
    events.put_targets(Rule=name, Targets=[{"Id": "it", "Arn": function}])
    return seen


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The whole platform with two devices in one group, once per session.

    ENGINE=memory in the environment gives it simulated containers, enough for what has no mark "engine".
    """
    engine: Literal["docker", "memory"] = "memory" if os.environ.get("ENGINE") == "memory" else "docker"
    try:
        platform = Platform.start(tmp_path_factory.mktemp("platform") / "it", engine=engine)
    except EngineUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no container engine: {error}")
    with platform:
        yield platform
    assert platform.leftovers() == []


@pytest.fixture(scope="session")
def robots(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Dialect, Machine]]:
    """A device of each dialect; those of one kind share a group, and all nothing else.

    Both lose their nucleus at once, because Lite's takes the agent a minute, which passes meanwhile.
    """
    lab = Lab(platform.aws, tmp_path_factory.mktemp("robots"), 0)
    robots = {dialect: add_machine(platform, lab, dialect) for dialect in get_args(Dialect)}
    for robot in robots.values():
        robot.becomes("online", 120)
        robot.restarted_agent = robot.agent_pid()
        robot.device.power("restart-nucleus")
    yield robots
    for robot in robots.values():
        robot.device.turn_off()
        robot.cable.close()


@pytest.fixture(scope="session", params=get_args(Dialect))
def robot(request: pytest.FixtureRequest, robots: Mapping[Dialect, Machine]) -> Machine:
    """The same test on both: a device with a classic nucleus, and one with Nucleus Lite."""
    found: Machine = robots[request.param]
    assert until(lambda: found.agent_pid() not in (None, found.restarted_agent), 120)
    found.becomes("online")
    return found
