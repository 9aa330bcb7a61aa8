"""Before a reboot the applications stop in order, within a bound, and afterwards they run again."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path

import pytest

from edge.defaults import REBOOT_STOP_S
from edge.ports.engine_errors import EngineError, EngineUnavailable
from edge.worker_pool import Threads
from tests.support.edge.containers import Device, Later, a_document, an_application, an_engine, current
from tests.support.edge.fake_engine import FakeEngine

CHAIN = (
    an_application("db"),
    an_application("api", depends_on=[{"application": "db"}]),
    an_application("web", depends_on=[{"application": "api"}], stop_grace_s=3),
    an_application("other"),
)


def stops_of(engine: FakeEngine) -> list[tuple[str, int]]:
    """Return what will be stopped from now on, in order, with its grace."""
    stops: list[tuple[str, int]] = []
    engine.on_stop = lambda name, grace_s: stops.append((name, grace_s))
    return stops


def states(engine: FakeEngine, *names: str) -> list[str]:
    return [engine.named(current(name)).state for name in names]


def test_what_needs_another_stops_before_it_each_with_its_own_grace(tmp_path: Path) -> None:
    device = Device(engine := an_engine(), tmp_path)
    device.deploy(*CHAIN)
    stops = stops_of(engine)

    assert device.reconciler.stop_all().done()

    order = [name for name, _ in stops]
    assert order.index(current("web")) < order.index(current("api")) < order.index(current("db"))
    assert dict(stops) == {current("web"): 3, **{current(n): 10 for n in ("api", "db", "other")}}


def test_the_applications_run_again_after_the_boot_each_after_what_it_needs(tmp_path: Path) -> None:
    device = Device(engine := an_engine(), tmp_path)
    device.deploy(*CHAIN)
    identities = {each.name: each.id for each in engine.all.values()}
    device.reconciler.stop_all()

    engine.power_cycle()
    assert states(engine, "db", "api", "web", "other") == ["exited"] * 4  # the engine leaves them to us
    device.start_again()
    result = device.settle()

    assert result.converged
    assert states(engine, "db", "api", "web", "other") == ["running"] * 4
    assert {each.name: each.id for each in engine.all.values()} == identities


def test_they_run_again_where_the_machine_did_not_go_down(tmp_path: Path) -> None:
    device = Device(engine := an_engine(), tmp_path)
    device.deploy(*CHAIN)
    device.reconciler.stop_all()

    result = device.settle()

    assert result.converged
    assert all(status.last_lines == [] and status.code is None for status in result.statuses)
    assert states(engine, "db", "api", "web", "other") == ["running"] * 4


def test_independent_ones_stop_at_the_same_time_and_nothing_waits_for_them(tmp_path: Path) -> None:
    device = Device(engine := an_engine(), tmp_path)
    device.deploy(*(an_application(name) for name in ("a", "b", "c")))
    together = threading.Barrier(3)
    engine.on_stop = lambda name, grace_s: together.wait(10)
    device.workers = Threads
    device.start_again()
    device.settle()

    stop = device.reconciler.stop_all()

    wait([stop], 20)
    assert stop.done()
    assert states(engine, "a", "b", "c") == ["exited"] * 3
    device.reconciler.close()


@pytest.mark.parametrize("workers", [Threads, Later])
def test_the_caller_is_never_held_up(workers: Callable[..., object], tmp_path: Path) -> None:
    device = Device(engine := an_engine(), tmp_path)
    device.deploy(an_application())
    goes_on = threading.Event()
    engine.on_stop = lambda name, grace_s: goes_on.wait(10)
    device.workers = workers if workers is Threads else Later()
    device.start_again()

    stop = device.reconciler.stop_all()

    assert not stop.done()
    goes_on.set()
    device.reconciler.close()


def test_all_together_take_no_longer_than_the_bound(tmp_path: Path) -> None:
    device = Device(engine := an_engine(), tmp_path)
    device.deploy(
        an_application("db", stop_grace_s=20),
        an_application("api", stop_grace_s=20, depends_on=[{"application": "db"}]),
        an_application("web", stop_grace_s=20, depends_on=[{"application": "api"}]),
    )
    stops: list[tuple[str, int]] = []

    def deaf(name: str, grace_s: int) -> None:
        stops.append((name, grace_s))
        device.clock.passed_s += grace_s

    engine.on_stop = deaf
    began_s = device.clock.passed_s
    assert device.reconciler.stop_all().done()

    assert stops == [(current("web"), 20), (current("api"), 10)]
    assert device.clock.passed_s - began_s <= REBOOT_STOP_S
    assert states(engine, "db") == ["running"]  # rather left to the engine's shutdown than killed


@pytest.mark.parametrize("error", [EngineError("refused"), EngineUnavailable("no answer")])
def test_one_that_does_not_stop_keeps_no_other_from_stopping(error: EngineError, tmp_path: Path) -> None:
    device = Device(engine := an_engine(), tmp_path)
    device.deploy(*CHAIN)
    engine.stop_errors[current("web")] = error

    assert device.reconciler.stop_all().exception() is None

    assert states(engine, "web", "api", "db", "other") == ["running", "exited", "exited", "exited"]


def test_an_engine_that_does_not_answer_holds_up_nothing(tmp_path: Path) -> None:
    device = Device(engine := an_engine(), tmp_path)
    device.deploy(*CHAIN)
    engine.available = False

    stop = device.reconciler.stop_all()

    assert stop.done()
    assert stop.exception() is None


def test_on_a_device_that_is_not_managed_nothing_is_stopped_because_nobody_would_start_it(
    tmp_path: Path,
) -> None:
    device = Device(engine := an_engine(), tmp_path)
    device.deploy(an_application())
    device.desire(None)
    device.settle()

    device.reconciler.stop_all()

    assert states(engine, "web") == ["running"]


@pytest.mark.parametrize("policy", ["no", "on-failure"])
def test_one_whose_end_means_something_is_left_to_the_engines_own_shutdown(
    policy: str, tmp_path: Path
) -> None:
    device = Device(engine := an_engine(), tmp_path)
    device.deploy(an_application(restart=policy))

    device.reconciler.stop_all()

    assert states(engine, "web") == ["running"]


def test_foreign_containers_are_left_alone(tmp_path: Path) -> None:
    device = Device(engine := an_engine(), tmp_path)
    foreign = engine.add_foreign("somebody-elses")
    device.deploy(an_application())

    device.reconciler.stop_all()

    assert foreign.state == "running"


def test_in_the_middle_of_a_hand_over_both_stop_and_the_update_is_seen_through_after_the_boot(
    tmp_path: Path,
) -> None:
    device = Device(engine := an_engine(), tmp_path)
    device.deploy(an_application())
    device.desire(a_document(an_application(image_name="hello:v2", update_strategy="hand-over"), revision=2))
    while len([each for each in engine.all.values() if each.state == "running"]) < 2:
        device.reconciler.converge()

    device.reconciler.stop_all()
    assert {each.state for each in engine.all.values()} == {"exited"}
    engine.power_cycle()
    device.start_again()

    assert device.settle().converged
    assert [each.state for each in engine.all.values()] == ["running"]


def test_a_start_that_has_not_begun_is_taken_back(tmp_path: Path) -> None:
    later = Later()
    device = Device(engine := an_engine(), tmp_path, workers=later)
    device.desire(a_document(an_application()))
    while not engine.all:
        device.reconciler.converge()
        later.let_go() if not engine.all else None
    device.reconciler.converge()  # the start is queued
    assert later.waiting

    stop: Future[None] = device.reconciler.stop_all()
    later.let_go()

    assert stop.done()
    assert states(engine, "web") == ["created"]
