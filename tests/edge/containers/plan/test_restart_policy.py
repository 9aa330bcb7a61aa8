"""What was healthy and is not any more is started again, ever more rarely."""

from itertools import pairwise
from pathlib import Path

import pytest

from contract.reports import ApplicationState
from edge.containers.observe.probes import Prober
from tests.support.edge.containers import Device, an_application, an_engine, current
from tests.support.edge.fake_engine import FakeEngine

CHECKED = an_application(health_check={"kind": "tcp", "port": 5432, "interval_s": 1}, healthy_window_s=10)


class Door:
    """A port of the container, open or not."""

    def __init__(self) -> None:
        self.open = True
        self.asked: list[tuple[str, int, float]] = []

    def __call__(self, address: str, port: int, timeout_s: float) -> None:
        self.asked.append((address, port, timeout_s))
        if not self.open:
            raise OSError("connection refused")


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine()


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def device(engine: FakeEngine, door: Door, tmp_path: Path) -> Device:
    return Device(engine, tmp_path, prober=Prober(tcp_probe=door))


def live(device: Device, seconds: float) -> None:
    end = device.clock.passed_s + seconds
    while device.clock.passed_s < end:
        device.reconciler.converge()
        device.clock.passed_s += 1.0


def test_a_tcp_check_passes_when_the_containers_own_port_takes_a_connection(
    device: Device, door: Door
) -> None:
    assert device.deploy(CHECKED).statuses[0].state is ApplicationState.RUNNING
    assert door.asked[0] == ("172.17.0.2", 5432, 2.0)


def test_a_tcp_check_that_never_passes_fails_the_application_and_says_why(device: Device, door: Door) -> None:
    door.open = False

    [status] = device.deploy(CHECKED).statuses

    assert status.state is ApplicationState.FAILED
    assert status.message is not None
    assert "port 5432 takes no connection (connection refused)" in status.message


def test_one_that_was_healthy_and_is_not_is_restarted_and_is_well_again(
    device: Device, engine: FakeEngine, door: Door
) -> None:
    device.deploy(CHECKED)
    container = engine.named(current())
    door.open = False
    live(device, 4)
    assert container.starts == 2

    door.open = True
    live(device, 4)

    assert container.starts == 2
    assert device.settle().statuses[0].state is ApplicationState.RUNNING
    assert engine.calls.count("create") == 1


def test_one_that_stays_unhealthy_is_restarted_ever_more_rarely_and_never_more_often_than_its_window(
    device: Device, engine: FakeEngine, door: Door
) -> None:
    device.deploy(CHECKED)
    container = engine.named(current())
    door.open = False
    at = []
    for _ in range(1500):
        before = container.starts
        live(device, 1)
        if container.starts > before:
            at.append(device.clock.passed_s)
    waits = [round(later - earlier) for earlier, later in pairwise(at)]

    assert waits[0] >= 10
    assert waits == sorted(waits)
    assert waits[-1] >= 256


def test_a_slow_starter_that_an_agent_meets_after_a_power_cut_has_its_window_to_come_up(
    device: Device, engine: FakeEngine, door: Door
) -> None:
    device.deploy(CHECKED)
    door.open = False

    device.start_again()
    live(device, 8)
    assert engine.named(current()).starts == 1
    door.open = True
    live(device, 8)

    assert engine.named(current()).starts == 1


def test_one_that_its_policy_does_not_restart_is_left_alone_and_called_unhealthy(
    device: Device, engine: FakeEngine, door: Door
) -> None:
    device.deploy(CHECKED.model_copy(update={"restart": "no"}))
    door.open = False
    live(device, 60)

    assert engine.named(current()).starts == 1
    assert device.settle().statuses[0].state is ApplicationState.UNHEALTHY


def test_one_that_is_found_ended_again_and_again_is_started_ever_more_rarely(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    container = engine.named(current())
    for _ in range(120):
        container.state = "exited"
        live(device, 1)

    assert 5 <= container.starts <= 9
