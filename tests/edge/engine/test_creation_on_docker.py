"""Every field of a container's specification, as a real Docker Engine carries it out."""

import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from docker import APIClient

from contract.applications import Application, Secret
from edge.containers.execute.secrets import Secrets
from edge.containers.plan.container_spec import Given, container_spec
from edge.engine.docker import DockerEngine
from edge.ports.engine import Check, Container, DeviceNode, Mount
from edge.ports.engine_errors import SpecRefused
from tests.support.edge.containers import Inline
from tests.support.engine.harness import EngineHarness
from tests.support.engine.tiny_registry import TinyRegistry

pytestmark = pytest.mark.engine
SH = ("/bin/sh", "-c")


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


@pytest.fixture
def volume(harness: EngineHarness, raw: APIClient) -> Iterator[Mount]:
    mount = Mount("volume", f"{harness.thing}.data", "/data", labels={"owner": harness.thing})
    yield mount
    harness.clear()
    raw.remove_volume(mount.source)


def run(harness: EngineHarness, script: str, **fields: Any) -> int:
    """Return what ``script`` exits with in a container made with ``fields``."""
    container_id = harness.create(entrypoint=SH, command=(script,), restart="no", **fields)
    harness.engine.start(container_id)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if _only(harness).state == "exited":
            code = _only(harness).exit_code
            harness.engine.remove(container_id)
            assert code is not None
            return code
        time.sleep(0.05)
    raise AssertionError("it did not end")


def _only(harness: EngineHarness) -> Container:
    [container] = harness.engine.containers(harness.thing)
    return container


def test_the_entrypoint_replaces_the_images_and_its_exit_code_is_in_the_list(harness: EngineHarness) -> None:
    assert run(harness, "exit 7") == 7


def test_a_volume_outlives_its_container_and_keeps_its_labels(
    harness: EngineHarness, raw: APIClient, volume: Mount
) -> None:
    assert run(harness, "echo kept > /data/file", mounts=(volume,)) == 0
    assert run(harness, 'read word < /data/file && [ "$word" = kept ]', mounts=(volume,)) == 0
    assert raw.inspect_volume(volume.source)["Labels"] == {"owner": harness.thing}


def test_a_folder_of_the_machine_is_seen_and_written_only_if_it_may_be(
    harness: EngineHarness, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("here\n")
    folder = Mount("bind", str(tmp_path), "/plant")

    script = 'read word < /plant/file && [ "$word" = here ] && echo there > /plant/answer'
    assert run(harness, script, mounts=(folder,)) == 0
    assert (tmp_path / "answer").read_text() == "there\n"
    read_only = Mount("bind", str(tmp_path), "/plant", read_only=True)
    assert run(harness, "echo no > /plant/refused", mounts=(read_only,)) != 0


def test_a_folder_that_the_machine_does_not_have_is_refused(harness: EngineHarness, tmp_path: Path) -> None:
    with pytest.raises(SpecRefused, match="does not exist"):
        harness.create(mounts=(Mount("bind", str(tmp_path / "nothing"), "/plant"),))


def test_a_read_only_root_is_not_written_and_its_volumes_are(harness: EngineHarness, volume: Mount) -> None:
    assert run(harness, "echo no > /file", read_only_root=True) != 0
    assert run(harness, "echo yes > /data/file", read_only_root=True, mounts=(volume,)) == 0


def test_a_device_of_the_machine_is_there_under_the_name_it_was_given(harness: EngineHarness) -> None:
    device = DeviceNode("/dev/null", "/dev/plant", "rw")

    assert run(harness, "[ -c /dev/plant ] && echo x > /dev/plant", devices=(device,)) == 0
    assert run(harness, "[ -c /dev/plant ]") != 0


def test_a_user_without_rights_cannot_write_where_root_can(harness: EngineHarness) -> None:
    assert run(harness, "echo yes > /file") == 0
    assert run(harness, "echo no > /file", user="1000:1000") != 0


def test_the_engine_asks_the_command_and_tells_the_health(harness: EngineHarness) -> None:
    check = Check(("/bin/sh", "-c", "[ -e /ready ]"), interval_s=0.2, timeout_s=1, retries=3)
    harness.engine.start(
        harness.create(
            entrypoint=SH, command=("sleep 1; echo > /ready; sleep 60",), check=check, restart="no"
        )
    )

    end, seen = time.monotonic() + 30, []
    while time.monotonic() < end and "healthy" not in seen:
        seen.append(_only(harness).health)
        time.sleep(0.1)
    assert seen[0] == "starting"
    assert seen[-1] == "healthy"


def test_a_container_on_the_machines_own_network_is_reached_at_the_machine(harness: EngineHarness) -> None:
    harness.engine.start(harness.create(entrypoint=("sleep",), command=("60",), network_mode="host"))

    assert _only(harness).address == "127.0.0.1"


def test_a_container_without_a_network_has_no_address(harness: EngineHarness) -> None:
    harness.engine.start(harness.create(entrypoint=("sleep",), command=("60",), network_mode="none"))

    assert _only(harness).address is None


def test_a_process_that_failed_is_started_again_on_failure_and_one_that_is_done_is_not(
    harness: EngineHarness,
) -> None:
    harness.engine.start(harness.create("job", entrypoint=SH, command=("exit 0",), restart="on-failure"))
    failing = harness.create("failing", entrypoint=SH, command=("exit 3",), restart="on-failure")
    harness.engine.start(failing)

    end = time.monotonic() + 30
    while time.monotonic() < end and not harness.engine.container_run(failing).restarts:
        time.sleep(0.1)
    states = {each.name: each for each in harness.engine.containers(harness.thing)}
    assert harness.engine.container_run(failing).restarts
    assert (states[harness.name("job")].state, states[harness.name("job")].exit_code) == ("exited", 0)


def test_limits_rights_and_bounds_are_taken_as_they_are(harness: EngineHarness, raw: APIClient) -> None:
    container_id = harness.create(
        cpus=0.25,
        privileged=True,  # created, not started: this kind of machine cannot run one
        cap_add=("NET_ADMIN",),
        cap_drop=("NET_RAW", "MKNOD"),
        log_max_size_mib=1,
        log_max_files=2,
    )

    host = raw.inspect_container(container_id)["HostConfig"]
    assert host["NanoCpus"] == 250_000_000
    assert host["Privileged"] is True
    assert host["CapAdd"] == ["NET_ADMIN"]
    assert sorted(host["CapDrop"]) == ["MKNOD", "NET_RAW"]
    assert host["LogConfig"]["Config"] == {"max-size": "1m", "max-file": "2"}


def test_a_right_that_was_dropped_is_gone(harness: EngineHarness) -> None:
    read_capabilities = 'while read key value; do [ "$key" = CapBnd: ] && [ "$value" = {} ] && exit 0; done'
    none = read_capabilities.format("0" * 16) + " < /proc/self/status; exit 1"

    assert run(harness, none, cap_drop=("ALL",)) == 0
    assert run(harness, none) == 1


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, seen by the engine too."""
    folder = Path("/dev/shm") / f"fleetgrass-test-{secrets.token_hex(4)}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_an_applications_secrets_reach_it_and_any_user_in_it_reads_the_files(
    harness: EngineHarness, memory: Path, tmp_path: Path
) -> None:
    """From the application's words to the process: through the agent's own fetching and creating."""
    values = {"ssm:/fleetgrass/a": b"hunter2", "ssm:/fleetgrass/b": b"key\n"}
    application = Application(
        name="web",
        image=f"000000000000.dkr.ecr.eu-west-1.amazonaws.com/fleetgrass/x@sha256:{'a' * 64}",
        user="1000:1000",
        entrypoint=list(SH),
        command=['read key < /run/secrets/tls.key && [ "$key$PASSWORD" = keyhunter2 ]'],
        secrets=[
            Secret(name="PASSWORD", source="ssm:/fleetgrass/a"),
            Secret(name="tls.key", source="ssm:/fleetgrass/b", given_as="file"),
        ],
        restart="no",
    )
    spec = application.digest()
    kept = Secrets(FixedSource(values), memory, Inline, lambda: None)
    kept.fetch("web", spec, application.secrets)
    assert kept.finished() == [("web", spec, None)]
    harness.engine.pull(harness.reference("server"), harness.login)

    harness.engine.start(
        harness.engine.create(
            container_spec(
                application,
                spec=spec,
                thing=harness.thing,
                reference=harness.reference("server"),
                publish_address="127.0.0.1",
                folder=tmp_path,
                given=Given(kept.variables(spec), kept.folder(spec)),
            )
        )
    )

    end = time.monotonic() + 30
    while _only(harness).exit_code is None and time.monotonic() < end:
        time.sleep(0.05)
    assert _only(harness).exit_code == 0


class FixedSource:
    """Values that are known."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self.values = values

    def get(self, sources: Collection[str]) -> Mapping[str, bytes]:
        return self.values
