"""The deployments table on DynamoDB (moto)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cloud.aws.errors import Conflict
from cloud.domain.deployments.deployment import DeploymentState
from cloud.domain.idempotency import Idempotency, KeyReused
from cloud.tables.deployments import Deployments
from contract.names import identifier
from tests.support.cloud.api import DEPLOYMENTS, NOW, empty, tables_in_memory
from tests.support.cloud.deployments import TARGET, a_deployment

LATER = NOW + timedelta(minutes=1)


@pytest.fixture(scope="module")
def table() -> Iterator[Any]:
    with tables_in_memory() as dynamodb:
        yield dynamodb


@pytest.fixture
def deployments(table: Any) -> Deployments:
    empty(table, DEPLOYMENTS)
    return Deployments(table, DEPLOYMENTS)


def test_a_deployment_comes_back_as_it_was_made(deployments: Deployments) -> None:
    made = a_deployment(reason="why not")
    deployments.create(made, due_at=LATER)
    assert deployments.get(made.id) == made
    assert deployments.get(identifier("dep", unix_ms=9, random80=9)) is None


def test_a_revision_is_given_once(deployments: Deployments) -> None:
    deployments.create(a_deployment(), due_at=LATER)
    with pytest.raises(Conflict):
        deployments.create(a_deployment(id=identifier("dep", unix_ms=7, random80=7)), due_at=LATER)
    assert deployments.get(identifier("dep", unix_ms=7, random80=7)) is None
    deployments.create(a_deployment(target="thinggroup/line-4"), due_at=LATER)


def test_a_key_is_bound_to_its_request_and_a_refused_create_leaves_none(deployments: Deployments) -> None:
    key = Idempotency("k" * 64, "f1")
    assert deployments.by_idempotency_key(key, NOW) is None
    deployments.create(a_deployment(), due_at=LATER, idempotency=key)
    made = deployments.by_idempotency_key(key, NOW)
    assert made is not None
    assert made.revision == 1
    with pytest.raises(KeyReused):
        deployments.by_idempotency_key(Idempotency("k" * 64, "f2"), NOW)
    with pytest.raises(Conflict):
        deployments.create(a_deployment(2), due_at=LATER, idempotency=key)
    with pytest.raises(Conflict):
        deployments.create(a_deployment(1), due_at=LATER, idempotency=Idempotency("l" * 64, "f1"))
    assert deployments.by_idempotency_key(Idempotency("l" * 64, "f1"), NOW) is None
    assert [d.revision for d in deployments.newest_first(TARGET)] == [1]


def test_a_key_is_free_again_after_its_day_though_its_row_is_still_there(deployments: Deployments) -> None:
    first, other, day = Idempotency("k" * 64, "f1"), Idempotency("k" * 64, "f2"), timedelta(days=1)
    deployments.create(a_deployment(), due_at=LATER, idempotency=first)
    assert deployments.by_idempotency_key(first, NOW + day - timedelta(seconds=1)) is not None
    assert deployments.by_idempotency_key(first, NOW + day) is None
    assert deployments.by_idempotency_key(other, NOW + day) is None

    later = replace(a_deployment(2), created_at=NOW + day)
    deployments.create(later, due_at=LATER + day, idempotency=other)

    assert deployments.by_idempotency_key(other, NOW + day) == later
    with pytest.raises(KeyReused):
        deployments.by_idempotency_key(first, NOW + day)


def test_revisions_come_newest_first_past_nine_and_past_a_page(deployments: Deployments) -> None:
    for revision in range(1, 12):
        deployments.create(a_deployment(revision), due_at=LATER)
    assert [d.revision for d in deployments.newest_first(TARGET)] == list(range(11, 0, -1))
    assert [d.revision for d in deployments.newest_first(TARGET, before=3)] == [2, 1]
    assert list(deployments.newest_first("thinggroup/other")) == []


def test_a_state_moves_only_from_what_it_was(deployments: Deployments) -> None:
    made = a_deployment()
    deployments.create(made, due_at=LATER)
    assert deployments.activate(made, greengrass_id="g", job_id=None, now=LATER, due_at=LATER)
    assert not deployments.activate(made, greengrass_id="h", job_id="j", now=LATER, due_at=LATER)
    assert not deployments.fail(made, code="x", message="y", now=LATER)
    active = deployments.get(made.id)
    assert active is not None
    assert (active.state, active.greengrass_id, active.job_id) == (DeploymentState.ACTIVE, "g", None)
    assert (active.created_at, active.changed_at) == (NOW, LATER)
    assert deployments.succeed(active, now=LATER)
    assert not deployments.succeed(active, now=LATER)


def test_another_greengrass_deployment_may_carry_it_while_its_state_is_what_it_was(
    deployments: Deployments,
) -> None:
    made = a_deployment()
    deployments.create(made, due_at=LATER)
    deployments.activate(made, greengrass_id="g", job_id="j", now=LATER, due_at=LATER)
    active = deployments.get(made.id)
    assert active is not None

    deployments.look_no_more(active)
    assert not deployments.carried_by(made, greengrass_id="x", job_id=None, now=LATER)
    assert deployments.carried_by(active, greengrass_id="h", job_id=None, now=LATER)
    carried = replace(active, greengrass_id="h", job_id=None, carried_at=LATER, watched_at=(NOW,))
    assert deployments.get(made.id) == carried
    assert carried.deployed_at == LATER
    assert list(deployments.due(LATER)) == [carried]  # what it brings may silence agents, however old it is


def test_the_warnings_of_a_submission_take_the_place_of_those_before(deployments: Deployments) -> None:
    made, other = a_deployment(1), a_deployment(2)
    for one, warnings in ((made, ("mind the gap", "and this")), (other, ())):
        deployments.create(one, due_at=LATER)
        deployments.activate(one, greengrass_id="g", job_id=None, warnings=warnings, now=LATER, due_at=LATER)

    after = [each.warnings for each in deployments.newest_first(TARGET)]
    assert after == [("mind the gap",), ("mind the gap", "and this")]


def test_a_failure_keeps_its_reason(deployments: Deployments) -> None:
    made = a_deployment()
    deployments.create(made, due_at=LATER)
    assert deployments.fail(made, code="greengrass-refused", message="no", now=LATER)
    failed = deployments.get(made.id)
    assert failed is not None
    assert (failed.state, failed.code, failed.message) == (
        DeploymentState.FAILED,
        "greengrass-refused",
        "no",
    )
    assert list(deployments.due(LATER + timedelta(days=1))) == []


def test_only_active_revisions_before_the_newer_one_are_superseded(deployments: Deployments) -> None:
    for revision in range(1, 6):
        made = a_deployment(revision)
        deployments.create(made, due_at=LATER)
        if revision in (2, 4):
            deployments.fail(made, code="x", message="y", now=NOW)
        else:
            deployments.activate(made, greengrass_id="g", job_id=None, now=NOW, due_at=LATER)
    first = a_deployment(1, state=DeploymentState.ACTIVE)
    deployments.succeed(first, now=NOW)

    newest = a_deployment(5)
    assert deployments.supersede_before(newest, now=LATER) == 1
    assert deployments.supersede_before(newest, now=LATER) == 0
    states = {d.revision: d.state.value for d in deployments.newest_first(TARGET)}
    assert states == {1: "SUCCEEDED", 2: "FAILED", 3: "SUPERSEDED", 4: "FAILED", 5: "ACTIVE"}


def test_what_is_due_is_given_when_it_is_and_until_it_is_done(deployments: Deployments) -> None:
    made = a_deployment()
    deployments.create(made, due_at=LATER)
    assert list(deployments.due(LATER - timedelta(seconds=1))) == []
    assert [d.id for d in deployments.due(LATER)] == [made.id]
    much_later = LATER + timedelta(hours=1)
    assert not deployments.look_again(replace(made, due_at=NOW), due_at=much_later)  # others set it meanwhile
    assert deployments.look_again(replace(made, due_at=LATER), due_at=much_later)
    assert list(deployments.due(LATER)) == []
    deployments.activate(made, greengrass_id="g", job_id=None, now=LATER, due_at=much_later)
    assert not deployments.look_again(made, due_at=LATER)
    (due,) = deployments.due(much_later)
    assert due.state is DeploymentState.ACTIVE
    deployments.succeed(due, now=much_later)
    (due,) = deployments.due(much_later)  # it is still looked at, for agents that fall silent
    assert due.state is DeploymentState.SUCCEEDED
    assert not deployments.look_no_more(replace(due, state=DeploymentState.ACTIVE))
    assert deployments.look_no_more(due)
    assert not deployments.look_no_more(due)
    assert list(deployments.due(much_later)) == []


def test_who_looked_before_an_upgrade_does_not_undo_that_it_is_watched(deployments: Deployments) -> None:
    made = a_deployment()
    deployments.create(made, due_at=LATER)
    deployments.activate(made, greengrass_id="g", job_id=None, now=LATER, due_at=LATER)
    active = deployments.get(made.id)
    assert active is not None
    now = LATER + timedelta(seconds=5)
    assert deployments.carried_by(active, greengrass_id="h", job_id=None, now=now)

    assert not deployments.look_no_more(active)
    assert not deployments.look_again(active, due_at=now + timedelta(hours=6))
    assert not deployments.note(active, code=None, message=None, agents_lost=0, watched_at=())

    (due,) = deployments.due(now)
    assert (due.greengrass_id, due.due_at, due.watched_at) == ("h", now, (NOW,))


def test_what_is_amiss_is_noted_with_a_deployment_and_taken_back_and_its_state_is_untouched(
    deployments: Deployments,
) -> None:
    made = a_deployment()
    deployments.create(made, due_at=LATER)
    made = replace(made, due_at=LATER)
    assert not deployments.note(
        replace(made, state=DeploymentState.ACTIVE), code="x", message="y", agents_lost=1, watched_at=()
    )
    assert deployments.note(made, code="agent-lost", message="1 of 2", agents_lost=1, watched_at=(LATER,))

    noted = deployments.get(made.id)
    assert noted == replace(made, code="agent-lost", message="1 of 2", agents_lost=1, watched_at=(LATER,))
    assert deployments.note(made, code=None, message=None, agents_lost=0, watched_at=())
    assert deployments.get(made.id) == made
    assert deployments.asked(made, "r-2")
    assert deployments.get(made.id) == replace(made, asked="r-2")
    assert not deployments.asked(replace(made, state=DeploymentState.FAILED), "r-3")


def test_the_end_of_a_job_is_an_outcome_where_the_device_said_none_and_until_it_says_one(
    deployments: Deployments,
) -> None:
    made = a_deployment()
    ended = {"state": "FAILED", "code": "job-failed", "message": "no", "refused": True}
    said = {"state": "RUNNING", "epoch": "e", "sequence": 1}
    deployments.record_outcome(made.id, "r-1", said, NOW)

    assert not deployments.record_end_of_job(made.id, "r-1", ended, LATER)
    assert deployments.record_end_of_job(made.id, "r-2", ended, NOW)
    assert not deployments.record_end_of_job(made.id, "r-2", ended, LATER)
    assert deployments.outcomes(made.id)["r-2"] == ended | {"received_at": NOW, "of_job": True}

    before = NOW - timedelta(minutes=1)  # it was said before the job ended, and came after
    assert deployments.record_outcome(made.id, "r-2", said, before)
    assert "of_job" not in deployments.outcomes(made.id)["r-2"]
    assert {each["state"] for each in deployments.outcomes(made.id).values()} == {"RUNNING"}


def test_of_two_reports_the_newer_one_counts_in_whatever_order_they_come(deployments: Deployments) -> None:
    def says(state: str, epoch: str, sequence: int, seconds: int = 0) -> bool:
        outcome = {"state": state, "epoch": epoch, "sequence": sequence, "code": "c"}
        return deployments.record_outcome("dep-1", "r-1", outcome, NOW + timedelta(seconds=seconds))

    assert says("IN_PROGRESS", "e1", 5)
    assert not says("FAILED", "e1", 4, seconds=9)
    assert says("ROLLED_BACK", "e1", 5)
    assert says("RUNNING", "e1", 6)
    assert not says("FAILED", "e0", 99, seconds=-1)
    assert says("RUNNING", "e2", 1, seconds=1)
    assert deployments.outcomes("dep-1") == {
        "r-1": {"state": "RUNNING", "code": "c", "received_at": NOW + timedelta(seconds=1)}
    }
    assert deployments.outcomes("dep-2") == {}
