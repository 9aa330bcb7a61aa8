"""The agent killed at every engine call and every write of its memory comes to the same end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from contract.desired import Application
from contract.reports import ApplicationState
from edge.containers.reconciler import Pass
from tests.edge.containers.builders import Device, DyingDisk, a_document, an_application, an_engine, current
from tests.edge.fake_engine import FakeEngine, FakeImage, Killed

GOOD = an_application()
BETTER = an_application(image_name="hello:v2")
BAD = an_application(image_name="broken:v1", healthy_window_s=3)
OTHER = an_application("other")

SCENARIOS: dict[str, tuple[list[Application], list[Application]]] = {
    "first deployment": ([], [GOOD, OTHER]),
    "update": ([GOOD, OTHER], [BETTER, OTHER]),
    "rollback": ([GOOD, OTHER], [BAD, OTHER]),
    "first deployment that fails": ([OTHER], [BAD, OTHER]),
    "removal": ([GOOD, OTHER], [OTHER]),
    "removal of one that failed": ([BAD, OTHER], [OTHER]),
    "update of both, one of them bad": ([GOOD, OTHER], [BAD, an_application("other", image_name="hello:v2")]),
}


@dataclass
class World:
    """A device in the middle of its life, with a neighbour that must not be touched."""

    engine: FakeEngine
    disk: DyingDisk
    device: Device

    def end(self) -> object:
        """Return everything that matters of how it ended."""
        result = self.device.settle()
        return (
            sorted(
                (each.name, each.spec.image, each.state, each.id == "foreign" or each.starts > 0)
                for each in self.engine.all.values()
            ),
            [_told(result, name) for name in ("web", "other")],
            result.critical,
        )


def _told(result: Pass, name: str) -> object:
    for status in result.statuses:
        if status.name == name:
            code = status.rollback.code if status.rollback else status.code
            return status.state, status.image, code
    return None


def _world(folder: Path, before: list[Application]) -> World:
    engine = an_engine(broken=FakeImage(health="unhealthy"))
    engine.add_foreign("neighbour")
    disk = DyingDisk()
    device = Device(engine, folder, write=disk)
    device.deploy(*before)
    return World(engine, disk, device)


def _moments(counted: int) -> Iterator[tuple[int, bool]]:
    for at in range(1, counted + 1):
        yield at, False
        yield at, True


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_any_engine_call_the_next_agent_comes_to_the_same_end(
    scenario: str, tmp_path: Path
) -> None:
    _killed_everywhere(
        scenario,
        tmp_path,
        counted=lambda world: len(world.engine.calls),
        arm=lambda world, moment: setattr(world.engine, "dies_at", moment),
    )


@pytest.mark.parametrize("scenario", sorted(SCENARIOS.keys() - {"removal"}))  # of a good one writes nothing
def test_killed_at_any_write_of_its_memory_the_next_agent_comes_to_the_same_end(
    scenario: str, tmp_path: Path
) -> None:
    _killed_everywhere(
        scenario,
        tmp_path,
        counted=lambda world: world.disk.writes,
        arm=lambda world, moment: setattr(world.disk, "dies_at", moment),
    )


def _killed_everywhere(
    scenario: str,
    tmp_path: Path,
    counted: Callable[[World], int],
    arm: Callable[[World, tuple[int, bool] | None], None],
) -> None:
    before, after = SCENARIOS[scenario]
    reference = _world(tmp_path / "reference", before)
    start = counted(reference)
    reference.device.desire(a_document(*after, revision=2))
    expected = reference.end()
    moments = counted(reference) - start
    assert moments > 0

    for at, late in _moments(moments):
        world = _world(tmp_path / f"{at}-{late}", before)
        arm(world, (counted(world) + at, late))
        world.device.desire(a_document(*after, revision=2))
        with pytest.raises(Killed):
            world.device.settle()
        arm(world, None)
        world.device.start_again()

        assert world.end() == expected, f"killed at {at}, {'after' if late else 'before'} it happened"


def test_killed_twice_in_a_rollback_the_previous_container_still_comes_back(tmp_path: Path) -> None:
    reference = _world(tmp_path / "reference", [GOOD])
    old = reference.engine.named(current()).id
    start = len(reference.engine.calls)
    reference.device.desire(a_document(BAD, revision=2))
    expected = reference.end()
    moments = len(reference.engine.calls) - start

    for first in range(1, moments + 1):
        world = _world(tmp_path / str(first), [GOOD])
        world.device.desire(a_document(BAD, revision=2))
        for after in (first, 3):
            world.engine.dies_at = (len(world.engine.calls) + after, True)
            try:
                world.device.settle()
            except Killed:
                world.device.start_again()
        world.engine.dies_at = None

        assert world.end() == expected
        assert world.engine.named(current()).id == old
        assert world.device.settle().statuses[0].state is ApplicationState.ROLLED_BACK
