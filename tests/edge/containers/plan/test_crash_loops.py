"""An application that keeps ending is called so, with how it ended and what it said."""

from dataclasses import replace
from pathlib import Path

import pytest

from contract.reports import ApplicationState, ApplicationStatus
from tests.support.edge.containers import (
    Device,
    FakeClock,
    a_document,
    an_application,
    an_engine,
    current,
    image,
)
from tests.support.edge.fake_engine import FakeEngine, FakeImage

SECRET = "s3cr3t-of-the-database"


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine(
        crashing=FakeImage(exits=3, says=("connecting", f"cannot log in with {SECRET}")),
        ending=FakeImage(exits=3, says=tuple(f"line {i}" for i in range(30))),
    )


@pytest.fixture
def device(engine: FakeEngine, tmp_path: Path) -> Device:
    return Device(engine, tmp_path)


def crash(device: Device, engine: FakeEngine, times: int, exit_code: int = 3) -> ApplicationStatus:
    """Let a container that works end so often, as the engine restarts it; return the status after it."""
    container = engine.named(current())
    for _ in range(times):
        container.output += ["connecting", f"cannot log in with {SECRET}"]
        engine.end(container, exit_code)
        device.reconciler.converge()
        device.clock.passed_s += 2.0
        engine.run_again(container)
        result = device.reconciler.converge()
        device.clock.passed_s += 2.0
    return result.statuses[0]


def test_one_that_worked_and_keeps_ending_is_named_with_its_exit_code_and_its_last_lines_redacted(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application(env={"PASSWORD": SECRET}))
    assert crash(device, engine, times=2).code is None

    status = crash(device, engine, times=1)

    assert (status.state, status.code) == (ApplicationState.UNHEALTHY, "crash-loop")
    assert status.message is not None
    assert "with 3" in status.message
    assert status.last_lines[-2:] == ["connecting", "cannot log in with [redacted]"]
    assert SECRET not in status.model_dump_json()


def test_one_on_trial_that_is_started_again_between_the_looks_has_not_proven_itself(
    device: Device, engine: FakeEngine
) -> None:
    device.desire(a_document(an_application(healthy_window_s=10)))
    for _ in range(12):
        result = device.reconciler.converge()
        device.clock.passed_s += 1.0
        container = engine.named(current())
        if container.state == "running":
            engine.end(container, 3)
            engine.run_again(container)

    assert (result.statuses[0].state, result.statuses[0].code) == (ApplicationState.FAILED, "crash-loop")
    assert result.statuses[0].message is not None
    assert "restarted" in result.statuses[0].message


class SlowMachine(FakeClock):
    """Time passes between any two looks at the clock, also within one pass."""

    def monotonic(self) -> float:
        self.passed_s += 0.3
        return super().monotonic()


def test_the_verdict_rests_on_what_the_engine_says_at_the_end_of_the_window(
    engine: FakeEngine, tmp_path: Path
) -> None:
    device = Device(engine, tmp_path, clock=SlowMachine())
    device.desire(a_document(an_application(healthy_window_s=10)))
    while not (result := device.reconciler.converge()).settled:
        container = engine.named(current())
        if container.state == "running":
            engine.end(container, 3)
            restarts = container.container_run.restarts
            engine.run_again(container)

    assert result.statuses[0].code == "crash-loop"
    assert result.statuses[0].message is not None
    assert f"restarted {restarts} times" in result.statuses[0].message


def test_one_that_is_caught_running_between_two_endings_is_named_by_how_it_ended(
    device: Device, engine: FakeEngine
) -> None:
    device.desire(a_document(an_application(image_name="crashing:v1", healthy_window_s=10)))
    while not (result := device.reconciler.converge()).settled:
        device.clock.passed_s += 1.0
        container = engine.named(current())
        if container.state == "restarting":
            engine.run_again(container)
        elif container.state == "running" and device.clock.passed_s < 9.0:
            engine.end(container, 3)

    assert result.statuses[0].code == "crash-loop"
    assert result.statuses[0].message is not None
    assert "the last time with 3" in result.statuses[0].message


def test_one_on_trial_that_ends_while_we_look_is_named_with_what_it_said(
    device: Device, engine: FakeEngine
) -> None:
    failing = an_application(image_name="crashing:v1", healthy_window_s=10, env={"PASSWORD": SECRET})
    device.desire(a_document(failing))
    for _ in range(12):
        result = device.reconciler.converge()
        device.clock.passed_s += 1.0
        container = engine.named(current())
        if container.state == "restarting":
            engine.run_again(container)
            engine.end(container, 3)

    assert (result.statuses[0].state, result.statuses[0].code) == (ApplicationState.FAILED, "crash-loop")
    assert result.statuses[0].last_lines == ["connecting", "cannot log in with [redacted]"]


def test_what_goes_is_not_read_however_it_ends(device: Device, engine: FakeEngine) -> None:
    device.deploy(an_application("a"), an_application("b"))
    before = len(engine.calls)

    device.deploy(revision=2)

    assert not {"inspect", "logs"} & set(engine.calls[before:])


def test_the_tenth_crash_is_no_news_after_the_ninth(device: Device, engine: FakeEngine) -> None:
    device.deploy(an_application(env={"PASSWORD": SECRET}))

    ninth = crash(device, engine, times=20)

    assert crash(device, engine, times=1) == ninth


def test_one_that_the_kernel_stops_for_its_memory_again_and_again_is_named_so(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    container = engine.named(current())
    container.container_run = replace(container.container_run, out_of_memory=True)

    status = crash(device, engine, times=3, exit_code=137)

    assert status.message is not None
    assert "memory" in status.message


def test_one_that_runs_again_for_long_is_running(device: Device, engine: FakeEngine) -> None:
    device.deploy(an_application())
    crash(device, engine, times=3)

    device.clock.passed_s += 100.0

    assert device.settle().statuses[0].state is ApplicationState.RUNNING


def test_a_failed_update_keeps_what_the_failed_one_said_through_a_restart_of_the_agent(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    failing = an_application(image_name="crashing:v1", healthy_window_s=3, env={"PASSWORD": SECRET})
    device.desire(a_document(failing, revision=2))
    device.settle()
    device.start_again()

    [status] = device.settle().statuses

    assert status.state is ApplicationState.ROLLED_BACK
    assert status.image == image("hello:v1")
    assert status.last_lines == ["connecting", "cannot log in with [redacted]"]
    assert SECRET.encode() not in (device.folder / "applications.json").read_bytes()


def test_at_most_twenty_lines_are_kept(device: Device) -> None:
    [status] = device.deploy(an_application(image_name="ending:v1", healthy_window_s=3)).statuses

    assert status.last_lines == [f"line {i}" for i in range(10, 30)]
