"""An engine that dies and comes back, at the worst moments."""

import gc
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from contract.reports import ApplicationState
from edge.containers.model.observed import current_name
from local.docker.private_engine import PrivateEngine
from local.docker.registry_proxy import Behaviour
from tests.edge.faults.conftest import NewAgent
from tests.edge.faults.guarded_registry import LARGE_BYTES, GuardedRegistry
from tests.support.engine.agents import Agent

pytestmark = [
    pytest.mark.engine,
    # The SDK leaves the socket of a refused connection to the garbage collector, which says so.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PORTS = [{"container_port": 8080}]


@pytest.fixture(autouse=True)
def no_sockets_for_others(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Have those sockets found here and not in somebody else's test; log records hold them too."""
    yield
    caplog.get_records("call").clear()
    gc.collect()


@pytest.fixture
def agent(private_engine: PrivateEngine, new_agent: NewAgent) -> Iterator[Agent]:
    private_engine.start_again()  # should a test before have failed while it was down
    yield new_agent(private_engine.docker_host)
    private_engine.start_again()


def test_containers_survive_the_engines_death_and_none_is_made_anew(
    agent: Agent, private_engine: PrivateEngine
) -> None:
    [before] = agent.deploy(agent.application("v1", ports=PORTS)).statuses

    private_engine.kill()
    down = agent.until(lambda found: found.engine == "unavailable")
    private_engine.start_again()
    found = agent.until(lambda found: found.statuses[0].state is ApplicationState.RUNNING)

    assert [status.name for status in down.statuses] == ["web"]
    assert found.statuses[0].container_id == before.container_id
    assert _page(agent).startswith(b"v1 ")


def test_a_pull_that_the_engines_death_interrupted_is_begun_again(
    agent: Agent, private_engine: PrivateEngine, registry: GuardedRegistry
) -> None:
    wanted = agent.application("large")
    registry.front.behaviour = Behaviour(bytes_per_s=LARGE_BYTES // 20)
    agent.desire(wanted)
    agent.until(lambda _: registry.front.counts.blobs > 1)

    private_engine.kill()
    agent.until(lambda found: found.engine == "unavailable")
    registry.recover()
    private_engine.start_again()

    assert agent.settle().statuses[0].state is ApplicationState.RUNNING


def test_a_replacement_that_the_engines_death_interrupted_is_finished(
    agent: Agent, private_engine: PrivateEngine
) -> None:
    deaf = agent.application("deaf").model_copy(update={"stop_grace_s": 3.0})
    agent.deploy(deaf)
    agent.desire(agent.application("v2", ports=PORTS))
    agent.until(lambda found: found.critical)

    private_engine.kill()
    agent.until(lambda found: found.engine == "unavailable")
    private_engine.start_again()
    [status] = agent.settle().statuses

    assert status.state is ApplicationState.RUNNING
    assert _page(agent).startswith(b"v2 ")
    thing = agent.harness.thing
    names = [each.name for each in agent.harness.engine.containers(thing)]
    assert names == [current_name(thing, "web")]


def _page(agent: Agent) -> bytes:
    [port] = agent.reconciler.converge().statuses[0].ports
    with urlopen(f"http://{port.address}:{port.host_port}/", timeout=5) as answer:
        return bytes(answer.read())
