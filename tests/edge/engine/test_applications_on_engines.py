"""Applications from desired document to HTTP answer, with the real adapter on engines that answer HTTP."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from contract.desired import Application, DesiredDocument
from contract.reports import ApplicationState, ApplicationStatus
from edge.clock import SystemClock
from edge.containers.reconciler import Pass, Reconciler
from edge.engine.docker import DockerEngine
from edge.engine.port import Credentials
from tests.edge.engine.conftest import World
from tests.edge.engine.counting_proxy import CountingProxy
from tests.edge.engine.tiny_registry import LOGIN, TinyRegistry

HOST = "000000000000.dkr.ecr.eu-west-1.amazonaws.com"


class Logins:
    def get(self, registry_host: str, *, fresh: bool = False) -> Credentials:
        return Credentials(*LOGIN)


class Agent:
    """The reconciler as the agent drives it: woken by progress, or after as long as it said."""

    def __init__(self, world: World, registry: TinyRegistry, folder: Path, host: str) -> None:
        self.world, self.registry, self.folder = world, registry, folder
        self.engine = DockerEngine({"DOCKER_HOST": host})
        self.wake = threading.Event()
        self.revision = 0
        self.document: DesiredDocument | None = None
        self.reconciler = self._new()

    def application(self, image: str, name: str = "web", **fields: Any) -> Application:
        reference = self.registry.reference(image).partition("/")[2]
        return Application(
            name=name,
            image=f"{HOST}/{reference}",
            healthy_window_s=1 if self.world.simulated else 3,
            stop_grace_s=1,
            **fields,
        )

    def deploy(self, *applications: Application) -> Pass:
        self.revision += 1
        self.document = DesiredDocument(
            target="thinggroup/line-3",
            revision=self.revision,
            deployment_id=f"dep-{self.revision:026d}",
            applications=list(applications),
        )
        self.reconciler.desire(self.document)
        return self.settle()

    def settle(self) -> Pass:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.wake.clear()
            result = self.reconciler.converge()
            if result.settled:
                return result
            self.wake.wait(min(result.next_look_s or 1.0, 1.0))
        raise AssertionError(f"not settled: {result}")

    def start_again(self) -> None:
        self.reconciler = self._new()
        self.reconciler.desire(self.document)

    def _new(self) -> Reconciler:
        return Reconciler(
            engine=self.engine,
            credentials=Logins(),
            clock=SystemClock(),
            folder=self.folder,
            thing=self.world.thing,
            publish_address="127.0.0.1",
            registry_mirrors={HOST: self.registry.address},
            healthy_poll_s=0.1,
            on_progress=self.wake.set,
        )


@pytest.fixture(params=["memory", pytest.param("clean_docker", marks=pytest.mark.engine, id="docker")])
def host(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_host")
    return found


@pytest.fixture
def proxy(host: str, tmp_path: Path) -> Iterator[CountingProxy]:
    counting = CountingProxy(tmp_path / "proxy.sock", host)
    yield counting
    counting.stop()


@pytest.fixture
def agent(
    request: pytest.FixtureRequest, host: str, proxy: CountingProxy, registry: TinyRegistry, tmp_path: Path
) -> Iterator[Agent]:
    engine = DockerEngine({"DOCKER_HOST": host})
    world = World(engine, registry.reference, simulated=request.node.callspec.params["host"] == "memory")
    acting = Agent(world, registry, tmp_path / "work", proxy.host)
    yield acting
    acting.reconciler.close()
    acting.engine.close()
    world.clear()
    world.thing = f"neighbour-of-{world.thing}"
    world.clear()
    engine.close()


def page(status: ApplicationStatus) -> bytes:
    [port] = status.ports
    with urlopen(f"http://{port.address}:{port.host_port}/", timeout=5) as answer:
        return bytes(answer.read())


PORTS = [{"container_port": 8080}]


def test_a_deployment_is_served_replaced_rolled_back_and_removed_beside_a_neighbour(agent: Agent) -> None:
    neighbour = World(
        agent.world.engine, agent.registry.reference, False, f"neighbour-of-{agent.world.thing}"
    )
    theirs = neighbour.create()
    neighbour.engine.start(theirs)

    [first] = agent.deploy(agent.application("server", ports=PORTS)).statuses
    assert first.state is ApplicationState.RUNNING
    assert page(first) == b"hello\n"

    [second] = agent.deploy(agent.application("healthy", ports=PORTS)).statuses
    assert second.state is ApplicationState.RUNNING
    assert second.container_id != first.container_id
    assert page(second) == b"hello\n"

    [third] = agent.deploy(agent.application("unhealthy", ports=PORTS)).statuses
    assert third.state is ApplicationState.ROLLED_BACK
    assert third.container_id == second.container_id
    assert third.rollback is not None
    assert third.rollback.code == "unhealthy"
    assert page(third) == b"hello\n"

    assert agent.deploy().statuses == ()
    assert agent.world.engine.containers(agent.world.thing) == []
    [left] = neighbour.engine.containers(neighbour.thing)
    assert (left.id, left.state) == (theirs, "running")


def test_an_agent_that_starts_again_adopts_what_runs(agent: Agent) -> None:
    [before] = agent.deploy(agent.application("server", ports=PORTS)).statuses

    agent.start_again()

    assert agent.settle().statuses == (before,)


def test_a_process_that_keeps_ending_fails_its_first_deployment(agent: Agent) -> None:
    [status] = agent.deploy(agent.application("failing")).statuses

    assert (status.state, status.code) == (ApplicationState.FAILED, "exited")
    assert [each.state for each in agent.world.engine.containers(agent.world.thing)] == ["exited"]


def test_an_image_for_another_machine_rolls_back_and_is_named_so(agent: Agent) -> None:
    agent.deploy(agent.application("server"))

    [status] = agent.deploy(agent.application("foreign-machine")).statuses

    assert (status.state, status.code) == (ApplicationState.ROLLED_BACK, "wrong-architecture")


@pytest.mark.parametrize("count", [1, 5])
def test_a_pass_with_nothing_to_do_is_one_request(agent: Agent, proxy: CountingProxy, count: int) -> None:
    agent.deploy(*(agent.application("server", f"app-{i}") for i in range(count)))
    before = len(proxy.requests)

    for _ in range(3):
        assert agent.reconciler.converge().settled

    asked = proxy.requests[before:]
    assert len(asked) == 3
    assert all("/containers/json?" in each for each in asked)


def test_an_engine_that_stops_answering_is_unavailable_and_met_again(
    agent: Agent, proxy: CountingProxy, host: str, tmp_path: Path
) -> None:
    agent.deploy(agent.application("server"))
    proxy.stop()
    agent.engine.close()
    assert agent.reconciler.converge().engine == "unavailable"

    (tmp_path / "proxy.sock").unlink()
    again = CountingProxy(tmp_path / "proxy.sock", host)
    assert agent.settle().statuses[0].state is ApplicationState.RUNNING
    again.stop()
