"""What only the Docker adapter and a real Docker Engine can show."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import APIClient

from edge.engine.docker import DockerEngine
from edge.ports.engine import PortBinding
from edge.ports.engine_errors import CommandNotFound, DiskFull, EngineUnavailable, PullStalled
from tests.support.engine.harness import EngineHarness
from tests.support.engine.tiny_registry import TinyRegistry


@pytest.fixture
def harness(clean_docker_host: str, registry: TinyRegistry) -> Iterator[EngineHarness]:
    engine = DockerEngine({"DOCKER_HOST": clean_docker_host})
    harness = EngineHarness(engine, registry.reference, simulated=False)
    yield harness
    harness.clear()
    engine.close()


@pytest.fixture
def raw(docker_host: str) -> Iterator[APIClient]:
    client = APIClient(base_url=docker_host, version="auto")
    yield client
    client.close()


@pytest.mark.parametrize("where", ["unix://{folder}/nobody.sock", "tcp://127.0.0.1:9"])
def test_an_engine_that_nobody_answers_for_is_unavailable(where: str, tmp_path: Path) -> None:
    engine = DockerEngine({"DOCKER_HOST": where.format(folder=tmp_path)})

    with pytest.raises(EngineUnavailable):
        engine.containers("robot-7")
    with pytest.raises(EngineUnavailable):
        engine.pull("127.0.0.1:9/image:v1", None)
    with pytest.raises(EngineUnavailable):
        engine.information()


@pytest.mark.engine
def test_every_container_has_an_init_bounded_logs_and_its_limits(
    harness: EngineHarness, raw: APIClient
) -> None:
    container_id = harness.create(
        memory_bytes=64 << 20, stop_grace_s=7, ports=(PortBinding(53, None, "udp", "127.0.0.1"),)
    )

    shown = raw.inspect_container(container_id)
    host = shown["HostConfig"]
    assert host["Init"] is True
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
    assert host["Memory"] == 64 << 20
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert shown["Config"]["StopTimeout"] == 7
    assert host["PortBindings"] == {"53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}


@pytest.mark.engine
def test_a_process_over_its_memory_is_told_from_one_that_exits(harness: EngineHarness) -> None:
    container_id = harness.create(image="hungry", memory_bytes=8 << 20, restart="no")
    harness.engine.start(container_id)

    end = time.monotonic() + 30  # the engine hears of the end and of its reason apart, in either order
    while not harness.engine.container_run(container_id).out_of_memory and time.monotonic() < end:
        time.sleep(0.1)

    assert harness.engine.container_run(container_id).out_of_memory


@pytest.mark.engine
def test_a_process_deaf_to_sigterm_is_ended_after_its_grace(harness: EngineHarness) -> None:
    container_id = harness.create(image="deaf")
    harness.engine.start(container_id)

    harness.engine.stop(container_id, 1)

    assert harness.engine.container_run(container_id).exit_code in (137, 143)


@pytest.mark.engine
def test_a_pull_that_nothing_comes_of_is_broken_off(
    clean_docker_host: str, registry: TinyRegistry, harness: EngineHarness
) -> None:
    impatient = DockerEngine({"DOCKER_HOST": clean_docker_host}, silence_s=1.0)

    with pytest.raises(PullStalled):
        impatient.pull(harness.reference("never-coming"), harness.login)

    assert not impatient.has_image(harness.reference("never-coming"))
    impatient.close()


@pytest.mark.engine
def test_a_pull_ends_when_who_hears_of_it_has_had_enough(harness: EngineHarness, raw: APIClient) -> None:
    def enough(percent: int) -> None:
        raise DiskFull("no more room")

    with pytest.raises(DiskFull):
        harness.engine.pull(harness.reference("hungry"), harness.login, enough)

    assert raw.ping()


@pytest.mark.engine
def test_a_command_given_by_the_application_replaces_the_images(harness: EngineHarness) -> None:
    container_id = harness.create(command=("false",), restart="no")
    try:
        harness.engine.start(container_id)
    except CommandNotFound as error:
        raise AssertionError from error

    end = time.monotonic() + 20
    while harness.engine.container_run(container_id).exit_code is None and time.monotonic() < end:
        time.sleep(0.05)
    assert harness.engine.container_run(container_id).exit_code == 1
