"""The engine's events wake the loop, and the stream may die as often as it likes."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from docker import APIClient

from edge.engine.docker import DockerEngine
from edge.engine.listening import FIRST_WAIT_S, LONGEST_WAIT_S, Listening
from edge.ports.engine_errors import EngineUnavailable
from local.docker.memory_engine.engine import MemoryEngine
from local.docker.memory_engine.server import MemoryEngineServer
from tests.support.edge.fake_engine import FakeEngine
from tests.support.engine.harness import EngineHarness
from tests.support.engine.tiny_registry import TinyRegistry


class Ear:
    """Counts what it is told, and lets things happen between two waits; over after the last."""

    def __init__(self, engine: FakeEngine, *lives: tuple[str | EngineUnavailable, ...]) -> None:
        self.engine, self.lives = engine, list(lives)
        self.told = 0
        self.tellings: list[int] = []
        self.waits: list[float] = []
        self.opened = True

    def tell(self) -> None:
        self.told += 1
        if self.opened:
            self.engine.happened.extend(self.lives.pop(0))
        self.opened = False

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.tellings.append(self.told)
        self.opened = True
        return not self.lives

    def hear(self) -> None:
        Listening(self.engine, "robot-7", self.tell, self.wait).run()


def test_each_change_is_told_and_so_is_the_beginning_because_nobody_heard_what_was_before() -> None:
    ear = Ear(FakeEngine(), ("die", "start"))

    ear.hear()

    assert ear.told == 3


class Garbled(FakeEngine):
    """Says something that nobody understands, once."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = 0

    @contextmanager
    def listen(self, thing: str) -> Iterator[Iterator[str]]:
        self.heard += 1
        if self.heard == 1:
            raise ValueError("not JSON")
        with super().listen(thing) as changes:
            yield changes


def test_a_fault_of_ours_while_listening_does_not_end_it() -> None:
    ear = Ear(Garbled(), ("die",), ("die",))
    ear.opened = False

    ear.hear()

    assert ear.told >= 2


def test_a_stream_that_ends_or_breaks_is_opened_again_and_that_is_told_too() -> None:
    ear = Ear(FakeEngine(), ("die",), (EngineUnavailable("cut"),), ("start",))

    ear.hear()

    assert ear.tellings == [2, 3, 5]
    assert ear.waits == [FIRST_WAIT_S] * 3


def test_while_the_engine_is_down_it_is_asked_less_and_less_often_but_not_seldom() -> None:
    engine = FakeEngine()
    engine.available = False
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 7

    Listening(engine, "robot-7", lambda: None, wait).run()

    assert waits[0] == FIRST_WAIT_S
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_S


def test_once_closed_it_ends_with_the_next_change() -> None:
    engine = FakeEngine()
    told: list[int] = []

    def tell() -> None:
        told.append(1)
        engine.happened.extend(["die"] if len(told) < 10 else [])
        if len(told) == 2:
            listening.close()

    listening = Listening(engine, "robot-7", tell)
    listening.run()

    assert len(told) == 2


class Bell:
    """Rings when told."""

    def __init__(self, engine: DockerEngine, thing: str) -> None:
        self._rings = threading.Semaphore(0)
        self._listening = Listening(engine, thing, self._rings.release)
        self._thread = self._listening.start()

    def rings(self, within_s: float) -> bool:
        return self._rings.acquire(timeout=within_s)

    def close(self) -> None:
        self._listening.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_an_engine_that_ends_and_returns_is_listened_to_again(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    first = MemoryEngineServer(path, MemoryEngine())
    first.start()
    engine = DockerEngine({"DOCKER_HOST": f"unix://{path}"}, silence_s=0.5)
    bell = Bell(engine, "robot-7")
    assert bell.rings(within_s=5)

    first.stop()
    second = MemoryEngineServer(path, MemoryEngine())
    second.start()

    assert bell.rings(within_s=10)
    bell.close()
    second.stop()
    engine.close()


@pytest.fixture
def harness(clean_docker_host: str, registry: TinyRegistry) -> Iterator[EngineHarness]:
    engine = DockerEngine({"DOCKER_HOST": clean_docker_host}, silence_s=1.0)
    harness = EngineHarness(engine, registry.reference, simulated=False)
    yield harness
    harness.clear()
    engine.close()


@pytest.mark.engine
def test_a_crash_is_heard_of_long_before_anybody_would_have_looked(
    harness: EngineHarness, docker_host: str
) -> None:
    container_id = harness.create()
    harness.engine.start(container_id)
    patient = DockerEngine({"DOCKER_HOST": docker_host}, silence_s=5.0)
    bell = Bell(patient, harness.thing)
    assert bell.rings(within_s=5)
    raw = APIClient(base_url=docker_host, version="auto")

    raw.kill(container_id)

    assert bell.rings(within_s=2)
    raw.close()
    bell.close()
    patient.close()


@pytest.mark.engine
def test_a_death_is_told_when_the_list_shows_it(harness: EngineHarness, docker_host: str) -> None:
    container_id = harness.create(restart="no")
    raw = APIClient(base_url=docker_host, version="auto")

    with harness.engine.listen(harness.thing) as changes:
        harness.engine.start(container_id)
        os.kill(raw.inspect_container(container_id)["State"]["Pid"], signal.SIGKILL)  # not by request

        assert [next(changes), next(changes)] == ["start", "die"]
        [container] = harness.engine.containers(harness.thing)
        assert container.state == "exited"
    raw.close()


@pytest.mark.engine
def test_a_health_check_that_changes_its_mind_is_heard_of(harness: EngineHarness) -> None:
    container_id = harness.create(image="healthy")

    with harness.engine.listen(harness.thing) as changes:
        harness.engine.start(container_id)

        assert [next(changes), next(changes)] == ["start", "health_status"]


@pytest.mark.engine
def test_a_long_silence_ends_the_stream_without_an_error_and_others_do_not_notice(
    harness: EngineHarness,
) -> None:
    with harness.engine.listen(harness.thing) as changes:
        assert list(changes) == []

    assert harness.engine.containers(harness.thing) == []
