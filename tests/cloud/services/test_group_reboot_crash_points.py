"""A group reboot whose functions die after every single call: the same end, and no device commanded twice."""

from collections.abc import Mapping
from typing import Any

import pytest

from contract.commands import CommandState
from tests.support.cloud.api import body_of, with_tables
from tests.support.cloud.group_rebooting import GROUP, Died, GroupRebootHarness, a_harness, unburnt
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB

FATES = {"a": CommandState.SUCCEEDED, "b": CommandState.FAILED, "c": CommandState.SUCCEEDED}


def course(harness: GroupRebootHarness, die_after: int | None) -> dict[str, Any]:
    """Reboot the group to its end, dying once after so many calls; return what there is to see of it."""
    with unburnt(harness.fuse):
        harness.enrol(*FATES)
        harness.enrol("d", online=False)
    harness.fates = dict(FATES)
    harness.fuse.left = die_after
    reboot = posted(harness)
    for _ in range(100):
        harness.pump()
        if harness.results:
            device, result = harness.results[0]
            try:
                harness.hear(device, result)
            except Died:
                continue  # the queue gives it back
            harness.results.pop(0)
        elif not harness.queue.bodies:
            with unburnt(harness.fuse):
                read = harness.get(reboot)
                if read["ended_at"] is not None:
                    return end_of(harness, read)
            swept(harness)
    raise AssertionError(f"it never ended: {read}")


def posted(harness: GroupRebootHarness) -> str:
    while True:
        try:
            body = {"reason": "update", "max_concurrent": 2, "stop_after_failures": 2}
            answer = harness.post(body=body, headers={"Idempotency-Key": "once"})
        except Died:
            continue
        assert answer["statusCode"] == 202
        return str(body_of(answer)["id"])


def swept(harness: GroupRebootHarness) -> None:
    try:
        harness.sweep()
    except Died:
        harness.sweep()


def end_of(harness: GroupRebootHarness, read: Mapping[str, Any]) -> dict[str, Any]:
    rows = harness.rows()
    return {
        "state": read["state"],
        "counts": read["counts"],
        "members": {member["device"]: (member["state"], member.get("code")) for member in read["members"]},
        "commanded": {device: len(ids) for device, ids in harness.commanded.items()},
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
    harness = a_harness(table)

    assert course(harness, None) == UNDISTURBED
    assert harness.fuse.calls == CALLS


@pytest.mark.parametrize("die_after", range(1, CALLS + 1))
def test_it_survives_death_after_any_call_and_any_publish(die_after: int) -> None:
    harness = a_harness(with_tables(MemoryDynamoDB()))

    assert course(harness, die_after) == UNDISTURBED
    assert harness.fuse.left is None


@pytest.mark.slow
@pytest.mark.parametrize("dynamodb", ["moto"], indirect=True, scope="module")
@pytest.mark.parametrize("die_after", range(1, CALLS + 1, 12))
def test_so_it_does_on_moto(table: Any, die_after: int) -> None:
    harness = a_harness(table)

    assert course(harness, die_after) == UNDISTURBED
    assert harness.fuse.left is None
