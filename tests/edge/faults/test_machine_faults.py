"""What the machine around a real engine can do: a taken port, a full disk, a date that jumps."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from contract.reports import ApplicationState
from edge.ports.engine_errors import DiskFull, PortTaken
from local.docker.private_engine import PrivateEngine
from tests.edge.faults.clocks import JumpingClock
from tests.edge.faults.conftest import NewAgent, an_engine
from tests.support.engine.agents import Agent

pytestmark = pytest.mark.engine

DISK_BYTES = 64 << 20  # less than HUGE_BYTES twice, as fetched and as unpacked


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A host port that another process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def small_disk_engine(tmp_path: Path) -> Iterator[PrivateEngine]:
    """An engine whose data root is a small file system of its own."""
    image, disk = tmp_path / "disk.img", tmp_path / "disk"
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("there is no mkfs.ext4 to make a small disk with")
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    disk.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True, capture_output=True)
    mounted = subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no loop mounts here: {mounted.stderr.decode().strip()}")
    try:
        (disk / "engine").mkdir()
        with an_engine(disk / "engine") as engine:
            yield engine
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_port_that_another_process_has_is_named_and_what_ran_before_runs_again(
    agent: Agent, taken_port: int
) -> None:
    [before] = agent.deploy(agent.application("v1")).statuses

    ports = [{"container_port": 8080, "host_port": taken_port}]
    [after] = agent.deploy(agent.application("v2", ports=ports)).statuses

    assert after.rollback is not None
    assert (after.state, after.rollback.code) == (ApplicationState.ROLLED_BACK, PortTaken.code)
    assert after.container_id == before.container_id


def test_an_image_that_fills_the_disk_is_named_so_and_what_runs_is_left_alone(
    small_disk_engine: PrivateEngine, new_agent: NewAgent
) -> None:
    agent = new_agent(small_disk_engine.docker_host)
    [before] = agent.deploy(agent.application("v1")).statuses

    agent.desire(agent.application("v1"), agent.application("huge", "big"))
    found = agent.until(lambda found: found.statuses[1].code is not None)

    assert found.statuses[1].code == DiskFull.code
    assert found.statuses[0].container_id == before.container_id
    assert agent.deploy(agent.application("v1")).statuses[0].state is ApplicationState.RUNNING


@pytest.mark.parametrize("jump", [timedelta(days=3650), timedelta(days=-3650)])
def test_a_date_that_jumps_changes_nothing_on_the_engine(
    agent: Agent, clock: JumpingClock, jump: timedelta
) -> None:
    check = {"kind": "http", "port": 8080, "path": "/health"}
    [before] = agent.deploy(agent.application("v1", health_check=check)).statuses

    clock.off = jump
    assert agent.settle().statuses == (before,)
    agent.start_again()

    found = agent.until(lambda found: found.statuses[0].state is ApplicationState.RUNNING)
    assert found.statuses == (before,)
