"""A group reboot whose functions die after every single call: the same end, and no device commanded twice."""

from collections.abc import Mapping
from typing import Any

import pytest

from contract.commands import CommandState
from tests.support.cloud.api import body_of, with_tables
from tests.support.cloud.group_rebooting import GROUP, Died, World, a_world, unburnt
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB

FATES = {"a": CommandState.SUCCEEDED, "b": CommandState.FAILED, "c": CommandState.SUCCEEDED}


def course(world: World, die_after: int | None) -> dict[str, Any]:
    """Reboot the group to its end, dying once after so many calls; return what there is to see of it."""
    with unburnt(world.fuse):
        world.enrol(*FATES)
        world.enrol("d", online=False)
    world.fates = dict(FATES)
    world.fuse.left = die_after
    reboot = posted(world)
    for _ in range(100):
        world.pump()
        if world.results:
            device, result = world.results[0]
            try:
                world.hear(device, result)
            except Died:
                continue  # the queue gives it back
            world.results.pop(0)
        elif not world.queue.bodies:
            with unburnt(world.fuse):
                read = world.get(reboot)
                if read["ended_at"] is not None:
                    return end_of(world, read)
            swept(world)
    raise AssertionError(f"it never ended: {read}")


def posted(world: World) -> str:
    while True:
        try:
            body = {"reason": "update", "max_concurrent": 2, "stop_after_failures": 2}
            answer = world.post(body=body, headers={"Idempotency-Key": "once"})
        except Died:
            continue
        assert answer["statusCode"] == 202
        return str(body_of(answer)["id"])


def swept(world: World) -> None:
    try:
        world.sweep()
    except Died:
        world.sweep()


def end_of(world: World, read: Mapping[str, Any]) -> dict[str, Any]:
    rows = world.rows()
    return {
        "state": read["state"],
        "counts": read["counts"],
        "members": {member["device"]: (member["state"], member.get("code")) for member in read["members"]},
        "commanded": {device: len(ids) for device, ids in world.commanded.items()},
        "ledger": sorted(row["device"]["S"] for row in rows if row["id"]["S"].startswith("cmd-")),
        "claims": [row for row in rows if row["device"]["S"] == f"group#{GROUP}"],
    }


UNDISTURBED = {
    "state": "SUCCEEDED",
    "counts": {"total": 4, "not_started": 0, "in_flight": 0, "succeeded": 2, "failed": 1, "skipped": 1},
    "members": {
        "a": ("SUCCEEDED", None), "b": ("FAILED", "failed"),
        "c": ("SUCCEEDED", None), "d": ("SKIPPED", "device-unknown"),
    },
    "commanded": {"a": 1, "b": 1, "c": 1},
    "ledger": ["a", "b", "c"],
    "claims": [],
}  # fmt: skip
CALLS = 56  # that an undisturbed course makes


def test_a_course_that_nothing_disturbs_ends_as_it_should(table: Any) -> None:
    world = a_world(table)

    assert course(world, None) == UNDISTURBED
    assert world.fuse.calls == CALLS


@pytest.mark.parametrize("die_after", range(1, CALLS + 1))
def test_it_survives_death_after_any_call_and_any_publish(die_after: int) -> None:
    world = a_world(with_tables(MemoryDynamoDB()))

    assert course(world, die_after) == UNDISTURBED
    assert world.fuse.left is None


@pytest.mark.slow
@pytest.mark.parametrize("dynamodb", ["moto"], indirect=True, scope="module")
@pytest.mark.parametrize("die_after", range(1, CALLS + 1, 12))
def test_so_it_does_on_moto(table: Any, die_after: int) -> None:
    world = a_world(table)

    assert course(world, die_after) == UNDISTURBED
    assert world.fuse.left is None
