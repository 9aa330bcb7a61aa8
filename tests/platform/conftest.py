import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.aws import LocalAws
from local.engine import EngineUnavailable
from local.platform import Platform
from local.processes import free_ports
from tests.platform.lab import Lab


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
    """The whole platform with two devices in one group, once per session."""
    try:
        platform = Platform.start(tmp_path_factory.mktemp("platform") / "it")
    except EngineUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no container engine: {error}")
    with platform:
        yield platform
    assert platform.leftovers() == []
