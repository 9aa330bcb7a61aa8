"""Secrets by reference: fetched on the device, given to the container, and found nowhere else."""

import logging
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from contract.applications import Application
from contract.reports import ApplicationState
from edge.containers.execute.secrets import is_in_memory
from edge.containers.model.errors import SecretsUnavailable
from edge.containers.model.observed import device_name
from tests.support.edge.containers import (
    THING,
    Device,
    Later,
    a_document,
    an_application,
    an_engine,
    current,
    image,
)
from tests.support.edge.fake_engine import FakeContainer, FakeEngine, FakeImage

ENV = {"name": "PASSWORD", "source": "secretsmanager:fleetgrass/db"}
FILE = {"name": "tls.key", "source": "ssm:/fleetgrass/tls", "as": "file"}
VALUES = {ENV["source"]: b"hunter2", FILE["source"]: b"\x00key"}


class FakeSource:
    def __init__(self) -> None:
        self.values: dict[str, bytes] = dict(VALUES)
        self.error: SecretsUnavailable | None = None
        self.asked: list[set[str]] = []

    def get(self, sources: Collection[str]) -> Mapping[str, bytes]:
        self.asked.append(set(sources))
        if self.error is not None:
            raise self.error
        return {source: self.values[source] for source in sources}


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder that a reboot empties."""
    folder = Path("/dev/shm") / f"fleetgrass-test-{secrets.token_hex(4)}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine()


@pytest.fixture
def a_device(engine: FakeEngine, source: FakeSource, memory: Path, tmp_path: Path) -> Callable[..., Device]:
    def make(**options: Any) -> Device:
        return Device(engine, tmp_path, **{"secrets": source, "secrets_folder": memory, **options})

    return make


def with_secrets(*wanted: dict[str, str], **fields: Any) -> Application:
    return an_application(secrets=list(wanted), **fields)


def files_of(container: FakeContainer) -> Path:
    [mount] = [mount for mount in container.spec.mounts if mount.path == "/run/secrets"]
    assert mount.read_only
    return Path(mount.source)


def test_a_variable_is_in_the_containers_environment_beside_the_plain_ones(
    a_device: Callable[..., Device], engine: FakeEngine
) -> None:
    result = a_device().deploy(with_secrets(ENV, env={"LEVEL": "info"}))

    assert result.statuses[0].state == ApplicationState.RUNNING
    assert engine.named(current()).spec.env == {"LEVEL": "info", "PASSWORD": "hunter2"}


def test_a_file_is_readable_in_the_container_and_below_a_folder_that_only_its_owner_enters(
    a_device: Callable[..., Device], engine: FakeEngine, memory: Path
) -> None:
    a_device().deploy(with_secrets(FILE))

    folder = files_of(engine.named(current()))
    assert (folder / "tls.key").read_bytes() == b"\x00key"
    assert stat.S_IMODE((folder / "tls.key").stat().st_mode) == 0o444
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert folder.parent == memory / device_name(THING)
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_a_value_is_in_no_label_no_log_no_report_and_no_state_file(
    a_device: Callable[..., Device],
    engine: FakeEngine,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    result = a_device().deploy(with_secrets(ENV, FILE))

    container = engine.named(current())
    assert "hunter2" not in str(container.spec.labels)
    assert "hunter2" not in repr(container.spec)
    assert "hunter2" not in caplog.text
    assert "hunter2" not in str(result)
    assert all(b"hunter2" not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_all_sources_of_an_application_are_asked_for_at_once_and_only_when_a_container_is_made(
    a_device: Callable[..., Device], engine: FakeEngine, source: FakeSource
) -> None:
    device = a_device()
    device.deploy(with_secrets(ENV, FILE))
    assert source.asked == [{ENV["source"], FILE["source"]}]

    device.start_again()
    device.settle()
    engine.stop(engine.named(current()).id, 1)
    device.settle()

    assert engine.named(current()).starts == 2
    assert len(source.asked) == 1


def test_the_old_container_runs_until_the_new_ones_secrets_are_here(
    a_device: Callable[..., Device], engine: FakeEngine, source: FakeSource
) -> None:
    device = a_device()
    device.deploy(an_application())
    source.error = SecretsUnavailable("secret-unreachable", "no network")

    device.desire(device_document := a_document(with_secrets(ENV, image_name="hello:v2"), revision=2))
    result = device.reconciler.converge()

    assert engine.named(current()).state == "running"
    assert result.statuses[0].code == "secret-unreachable"
    assert result.statuses[0].next_try_at is not None
    assert not result.settled

    source.error = None
    assert device.settle().statuses[0].state == ApplicationState.RUNNING
    assert engine.named(current()).spec.image == device_document.applications[0].image


def test_a_secret_that_cannot_be_had_holds_up_no_other_application(
    a_device: Callable[..., Device], source: FakeSource
) -> None:
    source.error = SecretsUnavailable("secret-access-denied", f"{ENV['source']}: AccessDenied")
    device = a_device()
    device.desire(a_document(with_secrets(ENV), an_application("api")))

    for _ in range(8):
        result = device.reconciler.converge()
        device.clock.passed_s += 1

    web, api = result.statuses
    assert (web.state, web.code) == (ApplicationState.PENDING, "secret-access-denied")
    assert web.message == f"{ENV['source']}: AccessDenied"
    assert api.state == ApplicationState.RUNNING
    assert len(source.asked) <= 2  # ever more rarely


def test_supervision_does_not_wait_for_a_slow_answer(
    engine: FakeEngine, a_device: Callable[..., Device]
) -> None:
    later = Later()
    device = a_device(workers=later)
    device.desire(a_document(with_secrets(ENV)))
    later_begun = device.reconciler.converge()

    assert not later_begun.settled
    assert engine.all == {}
    while not device.reconciler.converge().settled:
        later.let_go()
        device.clock.passed_s += 1
    assert engine.named(current()).state == "running"


def test_files_that_a_reboot_took_are_fetched_again_before_the_start(
    a_device: Callable[..., Device], engine: FakeEngine, source: FakeSource, memory: Path
) -> None:
    device = a_device()
    device.deploy(with_secrets(FILE))
    container = engine.named(current())

    engine.stop(container.id, 1)
    shutil.rmtree(memory)
    source.error = SecretsUnavailable("secret-unreachable")
    device.start_again()
    result = device.reconciler.converge()
    assert (container.state, result.statuses[0].code) == ("exited", "secret-unreachable")

    source.error = None
    device.settle()
    assert (container.state, container.starts) == ("running", 2)
    assert (files_of(container) / "tls.key").read_bytes() == b"\x00key"


def test_a_rolled_back_container_finds_its_own_files(
    a_device: Callable[..., Device], engine: FakeEngine, source: FakeSource
) -> None:
    engine = an_engine(sick=FakeImage(health="unhealthy"))
    device = a_device()
    device = Device(engine, device.folder, **device.options)
    device.deploy(with_secrets(FILE))
    renamed = {**FILE, "name": "other.key"}

    result = device.deploy(with_secrets(renamed, image_name="sick:v1"), revision=2)

    assert result.statuses[0].state == ApplicationState.ROLLED_BACK
    assert (files_of(engine.named(current())) / "tls.key").exists()


def test_files_that_no_container_needs_any_more_are_removed(
    a_device: Callable[..., Device], memory: Path
) -> None:
    device = a_device()
    device.deploy(with_secrets(FILE))
    device.deploy(with_secrets({**FILE, "name": "new.key"}), revision=2)
    assert [file.name for file in memory.rglob("*.key")] == ["new.key"]

    device.deploy(revision=3)
    assert list(memory.rglob("*.key")) == []


def test_a_folder_on_a_disk_gets_no_file(a_device: Callable[..., Device], tmp_path: Path) -> None:
    place = tmp_path / "on-disk"
    if is_in_memory(tmp_path):
        pytest.skip("the temporary folder is in memory here")
    device = a_device(secrets_folder=place)
    device.desire(a_document(with_secrets(FILE)))

    result = device.reconciler.converge()

    assert result.statuses[0].code == "secrets-folder-on-disk"
    assert [file for file in place.rglob("*") if file.is_file()] == []


def test_bytes_that_are_no_text_cannot_be_a_variable(
    a_device: Callable[..., Device], source: FakeSource
) -> None:
    source.values[ENV["source"]] = b"\xff"
    device = a_device()
    device.desire(a_document(with_secrets(ENV)))

    status = device.reconciler.converge().statuses[0]

    assert status.code == "secret-not-text"
    assert status.message == f"{ENV['source']} is no text: give it as a file"


@pytest.mark.parametrize("wanted", [ENV, FILE])
def test_a_rotation_replaces_the_container_by_one_with_the_new_value_once(
    a_device: Callable[..., Device], engine: FakeEngine, source: FakeSource, wanted: dict[str, str]
) -> None:
    device = a_device()
    device.deploy(with_secrets(wanted))
    before = engine.named(current())
    source.values = dict.fromkeys(VALUES, b"new")

    for _ in range(2):  # as a command that is delivered again
        assert device.reconciler.rotate_secrets("web", "cmd-1") is None
        assert device.settle().statuses[0].state == ApplicationState.RUNNING

    after = engine.named(current())
    assert (len(engine.all), before.id in engine.all, len(source.asked)) == (1, False, 2)
    if wanted is ENV:
        assert after.spec.env["PASSWORD"] == "new"
    else:
        assert (files_of(after) / "tls.key").read_bytes() == b"new"

    device.start_again()
    device.settle()
    assert engine.named(current()).id == after.id


def test_a_rotation_whose_value_does_not_work_goes_back_to_the_old_one(
    a_device: Callable[..., Device], engine: FakeEngine, source: FakeSource
) -> None:
    device = a_device()
    device.deploy(with_secrets(ENV))
    source.values[ENV["source"]] = b"wrong"
    engine.images[an_application().image].health = "unhealthy"  # with the value that comes now

    device.reconciler.rotate_secrets("web", "cmd-1")
    result = device.settle()

    assert result.statuses[0].state == ApplicationState.ROLLED_BACK
    assert engine.named(current()).spec.env["PASSWORD"] == "hunter2"


def test_only_a_wanted_application_with_secrets_is_rotated(a_device: Callable[..., Device]) -> None:
    device = a_device()
    device.deploy(with_secrets(ENV), an_application("api"))

    for name in ("api", "nobody"):
        refusal = device.reconciler.rotate_secrets(name, "cmd-1")
        assert refusal is not None
        assert refusal.code == "no-secrets"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/run/fleetgrass", True),
        ("/runner", False),
        ("/run", True),
        ("/run/disk/x", False),
        ("/srv/a b", True),
    ],
)
def test_a_path_is_in_memory_when_the_mount_nearest_to_it_is(
    tmp_path: Path, path: str, expected: bool
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "overlay / overlay rw 0 0\ntmpfs /run tmpfs rw 0 0\n"
        "/dev/sda1 /run/disk ext4 rw 0 0\ntmpfs /srv/a\\040b tmpfs rw 0 0\n"
    )

    assert is_in_memory(Path(path), mounts) is expected


def test_neither_the_report_nor_collected_logs_repeat_what_a_secret_file_says(
    a_device: Callable[..., Device], source: FakeSource, engine: FakeEngine
) -> None:
    source.values[FILE["source"]] = b'{"password": "of-the-database"}'
    engine.registry[image("talking:v1")] = FakeImage(exits=1, says=("cannot log in with of-the-database",))
    device = a_device()
    heard: list[object] = []

    status = device.deploy(with_secrets(FILE, image_name="talking:v1", healthy_window_s=3)).statuses[0]
    assert device.reconciler.logs("web", 10, heard.append) is None
    device.reconciler.converge()

    assert status.last_lines == ["cannot log in with [redacted]"]
    assert heard == [("cannot log in with [redacted]",)]
