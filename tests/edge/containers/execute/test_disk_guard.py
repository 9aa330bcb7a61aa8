"""What a device does when its disk runs full."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from contract.reports import ApplicationState
from edge.containers.model.image_gc import DiskReserve
from edge.host.disk_space import DiskSpace
from edge.ports.engine_errors import DiskFull
from tests.support.edge.containers import Device, an_application, an_engine, image
from tests.support.edge.fake_engine import FakeEngine

GIB = 1 << 30
IMAGE_BYTES = GIB


@dataclass
class Disk:
    """A disk on which every image of the engine takes a gibibyte."""

    engine: FakeEngine
    total_bytes: int = 10 * GIB
    others_bytes: int = 0

    def __call__(self) -> DiskSpace:
        return DiskSpace(self.total_bytes, self.free_bytes)

    @property
    def free_bytes(self) -> int:
        return self.total_bytes - self.others_bytes - IMAGE_BYTES * len(self.engine.images)


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine()


@pytest.fixture
def disk(engine: FakeEngine) -> Disk:
    return Disk(engine)


@pytest.fixture
def device(engine: FakeEngine, disk: Disk, tmp_path: Path) -> Device:
    return Device(engine, tmp_path, disk=disk, floor=DiskReserve(GIB))


def update_through(device: Device, *versions: int) -> None:
    for version in versions:
        device.deploy(an_application(image_name=f"hello:v{version}"), revision=version)


def test_above_the_floor_old_images_stay_for_a_way_back_without_a_registry(
    device: Device, engine: FakeEngine
) -> None:
    update_through(device, 1, 2, 3)

    assert engine.images.keys() == {image(f"hello:v{version}") for version in (1, 2, 3)}


def test_below_the_floor_the_oldest_image_that_nobody_needs_goes_before_the_pull(
    device: Device, engine: FakeEngine, disk: Disk
) -> None:
    update_through(device, 1, 2)
    disk.others_bytes = disk.total_bytes - 2 * IMAGE_BYTES - GIB // 2

    update_through(device, 3)

    assert engine.images.keys() == {image("hello:v2"), image("hello:v3")}
    assert engine.calls.index("remove image") < len(engine.calls) - engine.calls[::-1].index("pull") - 1


def test_the_image_of_a_stopped_container_or_of_somebody_elses_is_spared(
    device: Device, engine: FakeEngine, disk: Disk
) -> None:
    update_through(device, 1, 2)
    engine.add_foreign("neighbour", image=image("hello:v1")).state = "exited"
    disk.others_bytes = disk.total_bytes - 2 * IMAGE_BYTES - GIB // 2

    result = device.deploy(an_application(image_name="hello:v3"), revision=3)

    assert result.statuses[0].code == "disk-full"
    assert engine.images.keys() == {image("hello:v1"), image("hello:v2")}


def test_an_image_that_others_pulled_is_never_collected(
    device: Device, engine: FakeEngine, disk: Disk
) -> None:
    engine.images["theirs"] = engine.images[image("hello:v1")] = engine.registry[image("hello:v1")]
    update_through(device, 1, 2)
    disk.others_bytes = disk.total_bytes - 3 * IMAGE_BYTES

    result = device.deploy(an_application(image_name="hello:v3"), revision=3)

    assert result.statuses[0].code == "disk-full"
    assert {"theirs", image("hello:v1"), image("hello:v2")} <= engine.images.keys()


def test_with_nothing_left_to_remove_the_pull_does_not_begin_and_what_runs_goes_on(
    device: Device, engine: FakeEngine, disk: Disk
) -> None:
    update_through(device, 1)
    disk.others_bytes = disk.total_bytes - IMAGE_BYTES - GIB // 2
    engine.calls.clear()

    result = device.deploy(an_application(image_name="hello:v2"), revision=2)

    [status] = result.statuses
    assert "pull" not in engine.calls
    assert (status.state, status.image) == (ApplicationState.ROLLED_BACK, image("hello:v1"))
    assert status.rollback is not None
    assert status.rollback.code == "disk-full"
    assert "512 MiB free" in status.rollback.reason
    assert "1024 MiB" in status.rollback.reason


def test_a_pull_that_turns_out_too_large_is_broken_off_before_the_disk_is_full(
    device: Device, engine: FakeEngine, disk: Disk
) -> None:
    def eat(percent: int) -> None:
        disk.others_bytes = disk.total_bytes - GIB // 4

    engine.on_pull_progress = eat
    disk.others_bytes = disk.total_bytes - 2 * GIB
    result = device.deploy(an_application())

    [status] = result.statuses
    assert (status.state, status.code) == (ApplicationState.FAILED, "disk-full")
    assert "256 MiB free" in (status.message or "")
    assert image("hello:v1") not in engine.images


def test_a_disk_that_runs_full_in_a_pull_is_tidied_up_once_and_the_pull_tried_again(
    device: Device, engine: FakeEngine
) -> None:
    update_through(device, 1, 2)
    engine.pull_errors[image("hello:v3")] = DiskFull("no space left on device")
    engine.on_remove_image = lambda: engine.pull_errors.clear()

    device.deploy(an_application(image_name="hello:v3"), revision=3)

    assert engine.images.keys() == {image("hello:v2"), image("hello:v3")}


def test_no_floor_is_kept_where_none_is_wanted_or_nobody_can_tell(
    engine: FakeEngine, disk: Disk, tmp_path: Path
) -> None:
    disk.others_bytes = disk.total_bytes

    unwanted = Device(engine, tmp_path / "unwanted", disk=disk, floor=DiskReserve(0)).deploy(an_application())
    unknown = Device(engine, tmp_path / "unknown", disk=lambda: None).deploy(an_application("other"))

    assert unwanted.statuses[0].state is ApplicationState.RUNNING
    assert unknown.statuses[0].state is ApplicationState.RUNNING


def test_what_was_pulled_is_known_to_the_next_agent(device: Device, engine: FakeEngine, disk: Disk) -> None:
    update_through(device, 1, 2)
    device.start_again()
    disk.others_bytes = disk.total_bytes - 2 * IMAGE_BYTES - GIB // 2

    update_through(device, 3)

    assert image("hello:v1") not in engine.images


@pytest.mark.parametrize("content", [b"\x00", b"[]", b'{"v": 2, "images": []}', b'{"v": 1, "images": [{}]}'])
def test_unreadable_bookkeeping_collects_nothing_and_is_kept_to_be_looked_at(
    content: bytes, device: Device, engine: FakeEngine, disk: Disk, tmp_path: Path
) -> None:
    update_through(device, 1, 2)
    (tmp_path / "images.json").write_bytes(content)
    device.start_again()
    disk.others_bytes = disk.total_bytes - 2 * IMAGE_BYTES - GIB // 2

    device.deploy(an_application(image_name="hello:v3"), revision=3)

    assert engine.images.keys() == {image("hello:v1"), image("hello:v2")}
    assert (tmp_path / "images.json.unreadable").read_bytes() == content


def test_an_image_whose_pull_failed_is_not_taken_for_ours(
    device: Device, engine: FakeEngine, tmp_path: Path
) -> None:
    device.deploy(an_application(image_name="ghost:v1"))

    assert json.loads((tmp_path / "images.json").read_bytes())["images"] == []


def test_the_floor_is_the_larger_of_a_size_and_a_share() -> None:
    small, large = DiskSpace(8 * GIB, 0), DiskSpace(1000 * GIB, 0)

    assert DiskReserve().of(small) == GIB
    assert DiskReserve().of(large) == 50 * GIB
    assert DiskReserve(0).of(large) == 0
