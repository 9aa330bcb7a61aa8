"""An engine, or a check, that does not answer costs nobody else anything."""

import threading
from pathlib import Path

from contract.reports import ApplicationState
from edge.containers.observe.probes import Prober
from edge.ports.engine import ContainerSpec
from edge.ports.engine_errors import EngineUnavailable
from edge.ports.workers import Workers
from edge.worker_pool import Threads
from tests.support.edge.containers import (
    Device,
    Inline,
    a_document,
    an_application,
    an_engine,
    current,
    image,
)
from tests.support.edge.fake_engine import FakeEngine, FakeImage


class Hanging(FakeEngine):
    """Lists, and answers no wish for a container."""

    def __init__(self) -> None:
        super().__init__()
        self.registry[image("hello:v1")] = FakeImage()
        self.asked: list[str] = []

    def create(self, spec: ContainerSpec) -> str:
        self.asked.append(spec.name)
        raise EngineUnavailable("no answer within 60 s")


def test_one_pass_waits_for_one_answer_that_does_not_come_and_the_next_tries_another(tmp_path: Path) -> None:
    engine = Hanging()
    device = Device(engine, tmp_path)
    device.desire(a_document(*[an_application(name) for name in ("one", "two", "three")]))

    device.reconciler.converge()
    assert engine.asked == [current("one")]

    device.reconciler.converge()
    device.reconciler.converge()
    assert engine.asked == [current("one"), current("two"), current("three")]


def test_checks_that_hang_do_not_keep_another_application_from_its_own(tmp_path: Path) -> None:
    go, asked = threading.Event(), threading.Event()
    engine = an_engine()

    def ask(address: str, port: int, path: str, timeout_s: float) -> int:
        if port == 80:
            asked.set()
        else:
            go.wait(10)
        return 200

    def workers(name: str, bound: int) -> Workers:
        return Threads(name, bound) if name == "probe" else Inline()

    device = Device(engine, tmp_path, workers=workers, prober=Prober(http_probe=ask))
    hanging = [
        an_application(f"hangs-{number}", health_check={"kind": "http", "port": 1000 + number})
        for number in range(8)
    ]
    device.desire(a_document(*hanging, an_application("web", health_check={"kind": "http", "port": 80})))

    device.reconciler.converge()
    device.reconciler.converge()

    try:
        assert asked.wait(3)
    finally:
        go.set()
        device.reconciler.close()


def test_time_in_which_the_engine_was_away_does_not_count_against_what_is_on_trial(tmp_path: Path) -> None:
    engine = an_engine(slow=FakeImage(health="starting"))
    device = Device(engine, tmp_path)
    device.deploy(an_application())
    device.desire(a_document(an_application(image_name="slow:v1", healthy_window_s=30), revision=2))
    device.reconciler.converge()
    device.clock.passed_s += 5
    device.reconciler.converge()

    engine.available = False
    for _ in range(3):
        device.clock.passed_s += 60
        device.reconciler.converge()
    engine.available = True
    assert device.reconciler.converge().statuses[0].state is ApplicationState.STARTING

    device.clock.passed_s += 20
    assert device.reconciler.converge().statuses[0].state is ApplicationState.STARTING
    device.clock.passed_s += 6
    assert device.settle().statuses[0].state is ApplicationState.ROLLED_BACK


class Odd(FakeEngine):
    """Fails on one application with what no adapter should let through."""

    def create(self, spec: ContainerSpec) -> str:
        if spec.name == current("odd"):
            raise KeyError("Id")
        return super().create(spec)


def test_a_fault_of_ours_in_one_application_is_reported_and_costs_no_other(tmp_path: Path) -> None:
    engine = Odd()
    engine.registry[image("hello:v1")] = FakeImage()
    device = Device(engine, tmp_path)
    device.desire(a_document(an_application("odd"), an_application("web")))

    odd, web = device.settle().statuses

    assert (odd.state, odd.code) == (ApplicationState.FAILED, "internal-error")
    assert web.state is ApplicationState.RUNNING
