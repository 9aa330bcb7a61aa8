"""What a person asks of one application."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from contract.reports import ApplicationState
from edge.containers.execute.operator_actions import ActionRefusal
from edge.containers.execute.update_gate import LOCK_FILE
from edge.containers.plan.container_spec import lock_folder
from edge.ports.engine_errors import EngineUnavailable, ImageNotFound
from edge.ports.workers import Result, Workers
from tests.support.edge.containers import (
    Device,
    Inline,
    Later,
    a_document,
    an_application,
    an_engine,
    current,
    image,
)
from tests.support.edge.fake_engine import FakeEngine, FakeImage


def never(failure: ActionRefusal | None) -> None:
    raise AssertionError(f"ended, and should not have begun: {failure}")


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine(broken=FakeImage(health="unhealthy"))


@pytest.fixture
def device(engine: FakeEngine, tmp_path: Path) -> Device:
    return Device(engine, tmp_path)


def test_a_restart_stops_and_starts_the_same_container_once(device: Device, engine: FakeEngine) -> None:
    device.deploy(an_application())
    before = engine.named(current())
    starts, ended = before.starts, list[ActionRefusal | None]()

    assert device.reconciler.restart("web", ended.append) is None
    result = device.settle()

    after = engine.named(current())
    assert (after.id, after.starts, after.state) == (before.id, starts + 1, "running")
    assert ended == [None]
    assert result.statuses[0].state is ApplicationState.RUNNING
    device.settle()
    assert engine.named(current()).starts == starts + 1


def test_a_restart_says_when_the_engine_could_not_do_it(device: Device, engine: FakeEngine) -> None:
    device.deploy(an_application())
    engine.start_errors[image("hello:v1")] = EngineUnavailable("no answer")
    ended: list[ActionRefusal | None] = []

    device.reconciler.restart("web", ended.append)
    device.reconciler.converge()

    assert ended == [ActionRefusal("engine-unavailable", "no answer")]


def test_a_container_that_is_not_ours_is_never_restarted(device: Device, engine: FakeEngine) -> None:
    engine.add_foreign(current())
    device.desire(None)
    device.reconciler.converge()

    refusal = device.reconciler.restart("web", never)

    assert refusal is not None
    assert refusal.code == "application-unknown"


def test_what_is_under_way_is_not_restarted(engine: FakeEngine, tmp_path: Path) -> None:
    Device(engine, tmp_path).deploy(an_application())
    later = Later()
    device = Device(engine, tmp_path, workers=later)
    device.desire(a_document(an_application()))
    device.reconciler.converge()
    ended: list[ActionRefusal | None] = []
    assert device.reconciler.restart("web", ended.append) is None

    second = device.reconciler.restart("web", never)

    assert second is not None
    assert second.code == "update-in-progress"
    assert ended == []
    later.let_go()
    device.reconciler.converge()
    assert ended == [None]


def test_one_that_holds_its_update_lock_is_restarted_by_force_only(
    device: Device, engine: FakeEngine, tmp_path: Path
) -> None:
    device.deploy(an_application(update_lock=True))
    lock = lock_folder(tmp_path.absolute(), "web") / LOCK_FILE
    lock.touch()

    refusal = device.reconciler.restart("web", never)

    assert refusal is not None
    assert refusal.code == "locked"
    ended: list[ActionRefusal | None] = []
    assert device.reconciler.restart("web", ended.append, force=True) is None
    device.settle()
    assert ended == [None]


def test_what_failed_is_tried_again_when_it_is_asked_for(device: Device, engine: FakeEngine) -> None:
    device.deploy(an_application())
    broken = an_application(image_name="broken:v1", healthy_window_s=2)
    assert device.deploy(broken, revision=2).statuses[0].state is ApplicationState.ROLLED_BACK
    engine.registry[image("broken:v1")] = engine.images[image("broken:v1")] = FakeImage()

    assert device.reconciler.retry("web") is None
    result = device.settle()

    assert (result.statuses[0].state, result.statuses[0].image) == (
        ApplicationState.RUNNING,
        image("broken:v1"),
    )


def test_what_failed_without_anything_before_it_is_made_anew_at_a_retry(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application(image_name="broken:v1", healthy_window_s=2))
    failed = engine.named(current()).id
    engine.registry[image("broken:v1")] = engine.images[image("broken:v1")] = FakeImage()

    device.reconciler.retry("web")
    result = device.settle()

    assert result.statuses[0].state is ApplicationState.RUNNING
    assert engine.named(current()).id != failed


def test_what_waits_for_its_next_try_need_not_wait(device: Device, engine: FakeEngine) -> None:
    missing = image("hello:v1")
    engine.pull_errors[missing] = ImageNotFound("not there yet")
    assert device.deploy(an_application()).statuses[0].state is not ApplicationState.RUNNING
    del engine.pull_errors[missing]

    assert device.reconciler.retry("web") is None

    assert device.settle().statuses[0].state is ApplicationState.RUNNING


def test_a_retry_with_nothing_to_try_says_so(device: Device) -> None:
    device.deploy(an_application())

    nothing, nobody = device.reconciler.retry("web"), device.reconciler.retry("ghost")

    assert nothing is not None
    assert nobody is not None
    assert (nothing.code, nobody.code) == ("nothing-to-retry", "application-unknown")


def test_what_a_container_said_is_read_without_holding_up_the_others(
    engine: FakeEngine, tmp_path: Path
) -> None:
    Device(engine, tmp_path).deploy(an_application())
    engine.named(current()).output.extend(["one", "two"])
    later = Later()
    device = Device(engine, tmp_path, workers=later)
    device.desire(a_document(an_application()))
    device.reconciler.converge()
    heard: list[Sequence[str] | ActionRefusal] = []

    assert device.reconciler.logs("web", 1, heard.append) is None
    device.reconciler.converge()
    assert heard == []
    later.let_go()
    device.reconciler.converge()

    assert heard == [("two",)]
    assert device.reconciler.logs("ghost", 1, heard.append) is not None


def test_who_asked_is_told_that_it_failed_while_the_engine_is_still_down(
    engine: FakeEngine, tmp_path: Path
) -> None:
    Device(engine, tmp_path).deploy(an_application())
    later = Later()
    device = Device(engine, tmp_path, workers=later)
    device.desire(a_document(an_application()))
    device.reconciler.converge()
    ended: list[ActionRefusal | None] = []
    heard: list[Sequence[str] | ActionRefusal] = []
    device.reconciler.restart("web", ended.append)
    device.reconciler.logs("web", 5, heard.append)

    engine.available = False
    later.let_go()
    device.reconciler.converge()

    assert ended == [ActionRefusal("engine-unavailable", "no answer")]
    assert heard == [ActionRefusal("engine-unavailable", "no answer")]


def test_a_machine_without_a_thread_for_it_costs_a_step_one_try_and_is_told_to_who_asked(
    engine: FakeEngine, tmp_path: Path
) -> None:
    workers = Rationed()
    device = Device(engine, tmp_path, workers=workers)
    device.deploy(an_application())
    workers.has_threads = False
    ended: list[ActionRefusal | None] = []

    assert device.reconciler.restart("web", ended.append) is None
    assert [each.code for each in ended if each] == ["internal-error"]

    device.desire(a_document(an_application(image_name="hello:v2"), revision=2))
    [status] = device.reconciler.converge().statuses
    assert (status.code, status.next_try_at is not None) == ("internal-error", True)

    workers.has_threads = True
    assert device.settle().converged


class Rationed(Inline):
    """Workers of a machine that has threads when the test says so."""

    has_threads = True

    def __call__(self, name: str, bound: int) -> Workers:
        return self

    def submit(self, call: Callable[[], Result], /) -> "Future[Result]":
        if not self.has_threads:
            raise RuntimeError("can't start new thread")
        return super().submit(call)
