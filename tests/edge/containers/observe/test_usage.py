"""What applications take of the machine, told from two looks at the engine."""

import pytest

from contract.reports import ApplicationState, ApplicationStatus
from edge.containers.observe.usage import Meter
from edge.ports.engine import Usage
from edge.ports.engine_errors import EngineUnavailable
from tests.support.edge.containers import FakeClock
from tests.support.edge.fake_engine import FakeContainer, FakeEngine

MIB = 1 << 20


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def container(engine: FakeEngine) -> FakeContainer:
    return engine.add_foreign("web")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def meter(engine: FakeEngine, clock: FakeClock) -> Meter:
    return Meter(engine, clock)


def status_of(container: FakeContainer) -> ApplicationStatus:
    return ApplicationStatus(name="web", state=ApplicationState.RUNNING, container_id=container.id)


def told(meter: Meter, container: FakeContainer) -> tuple[float | None, int | None]:
    [measured] = meter([status_of(container)])
    return measured.cpu_percent, measured.memory_bytes


def test_memory_is_told_at_once_and_cpu_as_the_share_of_a_core_since_the_look_before(
    engine: FakeEngine, container: FakeContainer, clock: FakeClock, meter: Meter
) -> None:
    engine.usages[container.id] = Usage(cpu_s=10.0, memory_bytes=5 * MIB)
    assert told(meter, container) == (None, 5 * MIB)

    clock.passed_s += 60
    engine.usages[container.id] = Usage(cpu_s=100.0, memory_bytes=6 * MIB)
    assert told(meter, container) == (150.0, 6 * MIB)


def test_a_container_that_was_started_again_has_no_share_until_the_next_look(
    engine: FakeEngine, container: FakeContainer, clock: FakeClock, meter: Meter
) -> None:
    engine.usages[container.id] = Usage(cpu_s=10.0, memory_bytes=MIB)
    told(meter, container)

    clock.passed_s += 60
    engine.usages[container.id] = Usage(cpu_s=0.1, memory_bytes=MIB)
    assert told(meter, container) == (None, MIB)

    clock.passed_s += 10
    engine.usages[container.id] = Usage(cpu_s=1.1, memory_bytes=MIB)
    assert told(meter, container) == (10.0, MIB)


def test_what_cannot_be_measured_is_left_out_and_the_report_goes_on(
    engine: FakeEngine, container: FakeContainer, meter: Meter
) -> None:
    none_yet = ApplicationStatus(name="web", state=ApplicationState.PENDING)
    assert meter([none_yet]) == (none_yet,)

    container.state = "exited"
    assert told(meter, container) == (None, None)
    engine.all.clear()
    assert told(meter, container) == (None, None)
    engine.available = False
    assert told(meter, container) == (None, None)


class Hanging(FakeEngine):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def usage(self, container_id: str) -> Usage | None:
        self.asked += 1
        raise EngineUnavailable("no answer within 60 s")


def test_an_engine_that_does_not_answer_holds_up_a_report_once_and_not_for_every_container(
    clock: FakeClock,
) -> None:
    engine = Hanging()
    statuses = [
        ApplicationStatus(name=name, state=ApplicationState.RUNNING, container_id=name)
        for name in ("one", "two", "three")
    ]

    assert Meter(engine, clock)(statuses) == tuple(statuses)
    assert engine.asked == 1
