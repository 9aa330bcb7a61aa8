"""A device on a real engine, with a registry that can fail; and an engine that may be killed."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from edge.engine.docker import DockerEngine
from local.docker.images import BUSYBOX
from local.docker.private_engine import EngineDidNotStart, PrivateEngine
from local.process.crash_cleanup import Remains
from tests.edge.faults.clocks import JumpingClock
from tests.edge.faults.guarded_registry import GuardedRegistry
from tests.support.engine.agents import Agent
from tests.support.engine.harness import EngineHarness

#: Makes a device on the engine at a DOCKER_HOST.
NewAgent = Callable[[str], Agent]


@pytest.fixture
def registry() -> Iterator[GuardedRegistry]:
    if not BUSYBOX.exists():
        pytest.skip("there is no busybox to make images of: install busybox-static")
    guarded = GuardedRegistry(BUSYBOX.read_bytes())
    yield guarded
    guarded.stop()


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def new_agent(registry: GuardedRegistry, clock: JumpingClock, tmp_path: Path) -> Iterator[NewAgent]:
    with ExitStack() as made:

        def make(docker_host: str) -> Agent:
            return made.enter_context(_agent(docker_host, registry, clock, tmp_path))

        yield make


@pytest.fixture
def agent(docker_host: str, new_agent: NewAgent) -> Agent:
    """A device on whichever engine is there."""
    return new_agent(docker_host)


@pytest.fixture(scope="session")
def private_engine() -> Iterator[PrivateEngine]:
    """An engine that tests may kill; when one is through, it runs again."""
    with an_engine(Path(tempfile.mkdtemp(prefix="fleetgrass-faults-"))) as engine:
        yield engine


@contextmanager
def an_engine(data: Path) -> Iterator[PrivateEngine]:
    """Have an engine of our own over ``data``, which goes with it; the test is skipped where none can be."""
    if os.geteuid() != 0 or not (shutil.which("dockerd") and shutil.which("ip")):
        pytest.skip("only root with dockerd and ip can start an engine to break")
    try:
        engine = PrivateEngine(Remains(), data)
    except EngineDidNotStart as error:
        pytest.skip(str(error))
    try:
        yield engine
    finally:
        engine.start_again()
        engine.stop()


@contextmanager
def _agent(docker_host: str, registry: GuardedRegistry, clock: JumpingClock, folder: Path) -> Iterator[Agent]:
    engine = DockerEngine({"DOCKER_HOST": docker_host})
    harness = EngineHarness(engine, registry.reference, simulated=False)
    acting = Agent(harness, registry, folder / "work", docker_host, credentials=registry, clock=clock)
    try:
        yield acting
    finally:
        acting.reconciler.close()
        acting.engine.close()
        harness.clear()
        engine.close()
        registry.sweep(docker_host)
