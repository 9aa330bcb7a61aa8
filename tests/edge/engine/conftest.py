"""The engines that the shared tests run on, each with the same images behind the same login."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import APIClient

from edge.engine.docker import DockerEngine
from edge.ports.engine import Credentials
from edge.ports.engine_errors import RegistryUnreachable
from local.docker.images import BUSYBOX
from local.docker.memory_engine.engine import MemoryEngine
from local.docker.memory_engine.server import MemoryEngineServer
from tests.support.edge.fake_engine import FakeEngine, FakeImage
from tests.support.engine.agents import Agent
from tests.support.engine.counting_proxy import CountingProxy
from tests.support.engine.harness import EngineHarness
from tests.support.engine.sites import Site
from tests.support.engine.tiny_registry import IMAGES, LOGIN, TinyRegistry

FAKES = {
    "healthy": FakeImage(health="healthy"),
    "unhealthy": FakeImage(health="unhealthy"),
    "failing": FakeImage(exits=1),
    "job": FakeImage(exits=0),
    "foreign-machine": FakeImage(exits=126, wrong_architecture=True),
    "no-command": FakeImage(exits=127),
}


@pytest.fixture(scope="session")
def registry() -> Iterator[TinyRegistry]:
    if not BUSYBOX.exists():
        pytest.skip("there is no busybox to make images of: install busybox-static")
    served = TinyRegistry(BUSYBOX.read_bytes(), secrets.token_hex(8))
    yield served
    served.stop()


@pytest.fixture(scope="session")
def clean_docker_host(docker_host: str, registry: TinyRegistry) -> Iterator[str]:
    """DOCKER_HOST of the real engine, which loses the images that tests pulled when they are through."""
    yield docker_host
    client = APIClient(base_url=docker_host, version="auto")
    for image in client.images():
        if any(name.startswith(f"{registry.address}/") for name in image["RepoDigests"] or []):
            client.remove_image(image["Id"], force=True)
    client.close()


def _fake() -> EngineHarness:
    fake = FakeEngine()

    def reference(image: str) -> str:
        return f"127.0.0.1:1/{image}"

    fake.registry = {reference(image): FAKES.get(image, FakeImage()) for image in IMAGES}
    fake.login_needed = Credentials(*LOGIN)
    fake.pull_errors = {"127.0.0.1:9/nobody@sha256:" + "0" * 64: RegistryUnreachable("connection refused")}
    return EngineHarness(fake, reference, simulated=True)


@pytest.fixture
def memory_host(tmp_path: Path) -> Iterator[str]:
    """DOCKER_HOST of a simulated engine."""
    server = MemoryEngineServer(tmp_path / "engine.sock", MemoryEngine())
    server.start()
    yield f"unix://{server.socket_path}"
    server.stop()


@pytest.fixture(
    params=["fake", "memory", pytest.param("clean_docker", marks=pytest.mark.engine, id="docker")]
)
def harness(request: pytest.FixtureRequest) -> Iterator[EngineHarness]:
    if request.param == "fake":
        yield _fake()
        return
    served: TinyRegistry = request.getfixturevalue("registry")
    docker = DockerEngine({"DOCKER_HOST": request.getfixturevalue(f"{request.param}_host")})
    harness = EngineHarness(docker, served.reference, simulated=request.param == "memory")
    yield harness
    harness.clear()
    docker.close()


@pytest.fixture(params=["memory", pytest.param("clean_docker", marks=pytest.mark.engine, id="docker")])
def host(request: pytest.FixtureRequest) -> str:
    """DOCKER_HOST of an engine that answers HTTP."""
    found: str = request.getfixturevalue(f"{request.param}_host")
    return found


@pytest.fixture
def proxy(host: str, tmp_path: Path) -> Iterator[CountingProxy]:
    """What stands before ``host`` and counts."""
    counting = CountingProxy(tmp_path / "proxy.sock", host)
    yield counting
    counting.stop()


@pytest.fixture
def agent(
    request: pytest.FixtureRequest, host: str, proxy: CountingProxy, registry: TinyRegistry, tmp_path: Path
) -> Iterator[Agent]:
    engine = DockerEngine({"DOCKER_HOST": host})
    harness = EngineHarness(
        engine, registry.reference, simulated=request.node.callspec.params["host"] == "memory"
    )
    acting = Agent(harness, registry, tmp_path / "work", proxy.host)
    yield acting
    acting.reconciler.close()
    acting.engine.close()
    harness.clear()
    harness.thing = f"neighbour-of-{harness.thing}"
    harness.clear()
    engine.close()


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.engine)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if not BUSYBOX.exists():
        pytest.skip("there is no busybox to make images of: install busybox-static")
    made = Site(
        tmp_path, request.getfixturevalue(f"{request.param}_host"), simulated=request.param == "memory"
    )
    with made.device.server:
        yield made
        made.close()
