"""Converged is said when every wanted application runs, or ended well, as it is wanted; and not before."""

from collections.abc import Callable
from pathlib import Path

import pytest

from contract.reports import ApplicationState
from edge.containers.observe.probes import Prober
from edge.containers.pass_result import Pass
from tests.support.edge.containers import Device, a_document, an_application, an_engine, current, image
from tests.support.edge.fake_engine import FakeEngine, FakeImage

CHECKED = an_application(health_check={"kind": "tcp", "port": 5432, "interval_s": 1}, healthy_window_s=10)


class Door:
    """A port of the container, open or not."""

    def __init__(self) -> None:
        self.open = True

    def __call__(self, address: str, port: int, timeout_s: float) -> None:
        if not self.open:
            raise OSError("connection refused")


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine(
        checked=FakeImage(health="healthy"), job=FakeImage(exits=0), broken=FakeImage(health="unhealthy")
    )


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def device(engine: FakeEngine, door: Door, tmp_path: Path) -> Device:
    return Device(engine, tmp_path, prober=Prober(tcp_probe=door))


def first_pass_after(device: Device, what: Callable[[], None]) -> Pass:
    what()
    return device.reconciler.converge()


def test_it_is_converged_once_all_run(device: Device) -> None:
    device.desire(a_document(CHECKED))
    passes = [device.reconciler.converge()]
    while not passes[-1].settled:
        device.clock.passed_s += 1.0
        passes.append(device.reconciler.converge())

    assert [each.converged for each in passes] == [
        each.statuses[0].state is ApplicationState.RUNNING for each in passes
    ]
    assert passes[-1].converged


def test_after_an_agents_restart_it_is_neither_settled_nor_converged_until_the_check_was_answered(
    device: Device, door: Door
) -> None:
    device.deploy(CHECKED)
    door.open = False

    early = first_pass_after(device, device.start_again)

    assert early.statuses[0].state is ApplicationState.STARTING
    assert (early.settled, early.converged) == (False, False)
    assert early.next_look_s is not None
    assert early.next_look_s <= 1.0
    door.open = True
    assert device.settle().converged


def test_after_an_engines_restart_it_is_neither_settled_nor_converged_until_its_check_passes(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application(image_name="checked:v1"))
    engine.named(current()).health = "starting"

    early = device.reconciler.converge()

    assert early.statuses[0].state is ApplicationState.STARTING
    assert (early.settled, early.converged) == (False, False)
    engine.named(current()).health = "healthy"
    assert device.settle().converged


def test_one_that_ended_and_waits_for_its_next_start_is_about_to_change(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    for _ in range(3):
        engine.named(current()).state = "exited"
        waiting = device.reconciler.converge()

    assert waiting.statuses[0].state is ApplicationState.STARTING
    assert (waiting.settled, waiting.converged) == (False, False)
    assert device.settle().converged


def test_one_that_is_unhealthy_is_not_converged_and_is_again_when_it_is_well(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application(image_name="checked:v1"))
    engine.images[image("checked:v1")].health = engine.named(current()).health = "unhealthy"
    assert not device.reconciler.converge().converged

    engine.named(current()).health = "healthy"

    assert device.settle().converged


@pytest.mark.parametrize("exit_code", [0, 3])
def test_one_that_is_not_to_be_restarted_is_converged_when_it_ended_well_only(
    exit_code: int, device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application(restart="no"))
    engine.end(engine.named(current()), exit_code)

    result = device.settle()

    assert result.statuses[0].state is ApplicationState.STOPPED
    assert result.converged is (exit_code == 0)


def test_what_was_rolled_back_is_not_converged(device: Device) -> None:
    device.deploy(an_application())
    failed = device.deploy(an_application(image_name="broken:v1", healthy_window_s=2), revision=2)

    assert failed.settled
    assert not failed.converged


def test_one_among_many_is_enough_not_to_be_converged(device: Device, door: Door) -> None:
    device.deploy(an_application("a"), CHECKED, an_application("b"))
    door.open = False

    assert not first_pass_after(device, device.start_again).converged
