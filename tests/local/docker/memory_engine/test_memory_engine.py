"""The simulated engine beyond what every engine must do: its process, its refusals, its crash loops."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import APIClient
from docker.errors import APIError

from local.docker.memory_engine.engine import MemoryEngine, Refused
from local.docker.memory_engine.images import StoredImage
from local.docker.memory_engine.server import MemoryEngineServer


@pytest.fixture
def client(tmp_path: Path) -> Iterator[APIClient]:
    server = MemoryEngineServer(tmp_path / "engine.sock", MemoryEngine())
    server.start()
    client = APIClient(base_url=f"unix://{server.socket_path}", version="auto")
    yield client
    client.close()
    server.stop()


def test_the_docker_sdk_finds_an_engine_that_says_what_it_is(client: APIClient) -> None:
    assert client.ping()
    assert "simulated" in client.version()["Version"]
    assert client.containers(all=True) == []


def test_what_it_does_not_have_is_a_plain_no(client: APIClient) -> None:
    with pytest.raises(APIError, match="simulated engine has no GET /networks"):
        client.networks()
    with pytest.raises(APIError, match="invalid filter"):
        client.containers(filters={"before": "x"})


def test_it_pulls_from_loopback_only(client: APIClient) -> None:
    with pytest.raises(APIError, match="only pulls from loopback"):
        client.pull("registry.example.com/a", tag="v1")


def an_engine(labels: dict[str, str]) -> tuple[MemoryEngine, list[float]]:
    now = [1000.0]
    engine = MemoryEngine(now=lambda: now[0])
    engine.keep("a:v1", StoredImage("sha256:1", "amd64", {"Labels": labels}, 1))
    return engine, now


def test_an_image_is_listed_once_under_all_its_names() -> None:
    engine, _ = an_engine({})
    engine.keep("a@sha256:2", StoredImage("sha256:1", "amd64", {}, 1))

    [listed] = engine.images()

    assert (listed["RepoTags"], listed["RepoDigests"]) == (["a:v1"], ["a@sha256:2"])


def test_killed_containers_stay_down_until_they_are_started_again() -> None:
    engine, _ = an_engine({})
    container = engine.create(
        "web", {"Image": "a:v1", "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}}
    )
    engine.start(container)

    engine.kill("web")
    assert engine.inspect("web")["State"]["ExitCode"] == 137
    with pytest.raises(Refused, match="is not running"):
        engine.kill("web")

    assert engine.start("web")
    assert engine.inspect("web")["State"]["Running"]
    engine.close()


def test_a_process_that_ends_at_once_is_restarted_ever_more_slowly() -> None:
    engine, now = an_engine({"io.fleetgrass.sample.exit": "3"})
    engine.create("web", {"Image": "a:v1", "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}})
    engine.start("web")

    restarts = []
    for passed in (0.0, 0.15, 0.35, 0.75, 10.0):
        now[0] = 1000.0 + passed
        restarts.append(engine.inspect("web")["RestartCount"])

    assert restarts == [0, 1, 2, 3, 6]


def test_the_process_says_where_it_listens_and_leaves_nothing(tmp_path: Path) -> None:
    socket = tmp_path / "engine.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "local.docker.memory_engine", "--socket", str(socket)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert process.stdout is not None
    with process:
        assert f"unix://{socket}" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert not socket.exists()


def test_a_socket_that_is_taken_is_said_plainly(tmp_path: Path) -> None:
    taken = tmp_path / "engine.sock"
    taken.touch()

    ended = subprocess.run(
        [sys.executable, "-m", "local.docker.memory_engine", "--socket", str(taken)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 1
    assert f"cannot listen at {taken}" in ended.stderr
