"""A deployment whose process dies between any two steps is whole again, whoever comes next."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cloud.aws.errors import Conflict, Refused, Unavailable
from cloud.domain.deployments.greengrass_components import carries
from contract.desired import DesiredDocument
from tests.support.cloud.api import DEPLOYMENTS, FakeDevices, a_device, body_of, empty, tables_in_memory
from tests.support.cloud.deploying import ENROLLED, ENROLLED_EARLIER, Crash, DeploymentHarness, a_wish
from tests.support.cloud.emf import emitted

pytestmark = pytest.mark.slow

V2_WISH = a_wish({"name": "web", "image": "fleetgrass/hello:v2"})


@pytest.fixture(scope="module")
def table() -> Iterator[Any]:
    with tables_in_memory() as dynamodb:
        yield dynamodb


@pytest.fixture
def harness() -> DeploymentHarness:
    return DeploymentHarness()


def whole(harness: DeploymentHarness) -> list[tuple[int, str]]:
    """What must hold once nobody is at work; return revision and state of each, oldest first."""
    rows = list(harness.deployments.newest_first("thinggroup/line-3"))
    states = sorted((row.revision, row.state.value) for row in rows)
    assert [revision for revision, _ in states] == list(range(1, len(states) + 1))
    assert "SUBMITTING" not in {state for _, state in states}
    assert sum(state == "ACTIVE" for _, state in states) <= 1
    carried = harness.carried()
    assert len(carried) == len(set(carried)), "no revision reached Greengrass twice"
    assert all(uri in harness.documents.stored for uri in carried)
    latest = harness.greengrass.latest(harness.arn)
    assert latest is not None
    assert latest.components["aws.greengrass.Nucleus"] == harness.enrolled["aws.greengrass.Nucleus"]  # type: ignore[index]
    for deployment in (row for row in rows if row.state.value == "ACTIVE"):
        assert carries(latest.components, deployment.document_uri)
        assert deployment.greengrass_id == latest.greengrass_id
        document = DesiredDocument.from_json(harness.documents.stored[deployment.document_uri])
        assert (document.revision, document.deployment_id) == (deployment.revision, deployment.id)
    return states


def gaps_of(
    act: Callable[[DeploymentHarness], object],
    prepare: Callable[[DeploymentHarness], None],
    table: Any = None,
) -> Iterator[DeploymentHarness]:
    """Give a harness that died at each call of ``act`` in turn, before and after the call's effect.

    In DynamoDB, where a harness takes its time, before the first and after each: what is left behind
    before a call is what is left after the one before it.
    """
    number = 0
    while True:
        for takes_effect in (False, True) if table is None or number == 0 else (True,):
            if table is not None:
                empty(table, DEPLOYMENTS)
            harness = DeploymentHarness(table)
            prepare(harness)
            harness.gaps.calls = []
            harness.gaps.die_at = (number, takes_effect)
            try:
                act(harness)
            except Crash:
                harness.gaps.die_at = None
                yield harness
            else:
                assert number > 0, "the act makes calls"
                return
        number += 1


def first_revision(harness: DeploymentHarness) -> None:
    assert harness.post()["statusCode"] == 201
    harness.clock.advance(1)


@pytest.mark.parametrize("in_dynamodb", [False, True])
def test_the_sweep_makes_whole_what_a_dead_post_left_in_any_gap(table: Any, in_dynamodb: bool) -> None:
    died = 0
    for harness in gaps_of(lambda w: w.post(V2_WISH), first_revision, table if in_dynamodb else None):
        died += 1
        harness.clock.advance(61)
        harness.sweep()
        states = whole(harness)
        assert states in ([(1, "ACTIVE")], [(1, "SUPERSEDED"), (2, "ACTIVE")]), harness.gaps.calls
        assert len(harness.carried()) == len(states)
    assert died > 8


def test_the_next_post_makes_whole_what_a_dead_one_left_in_any_gap() -> None:
    for harness in gaps_of(lambda w: w.post(V2_WISH), first_revision):
        harness.clock.advance(61)
        answer = harness.post()
        assert answer["statusCode"] == 201, harness.gaps.calls
        assert body_of(answer)["state"] == "ACTIVE"
        whole(harness)
        assert harness.states()[-1] == (body_of(answer)["revision"], "ACTIVE")
        assert body_of(answer)["revision"] == len(harness.carried())


def test_a_sweep_that_dies_in_any_gap_of_its_own_is_made_whole_by_the_next() -> None:
    def left_submitting(harness: DeploymentHarness) -> None:
        first_revision(harness)
        harness.greengrass.broken = Unavailable("CreateDeployment: timeout")
        assert body_of(harness.post(V2_WISH))["state"] == "SUBMITTING"
        harness.greengrass.broken = None
        harness.clock.advance(61)

    for harness in gaps_of(lambda w: w.sweep(), left_submitting):
        harness.sweep()
        whole(harness)
        assert harness.states() == [(1, "SUPERSEDED"), (2, "ACTIVE")], harness.gaps.calls


def test_a_repeated_post_with_its_key_makes_one_revision_whatever_gap_the_first_died_in() -> None:
    headers = {"Idempotency-Key": "k1"}
    for harness in gaps_of(lambda w: w.post(V2_WISH, headers=headers), first_revision):
        harness.clock.advance(61)
        harness.sweep()
        answer = harness.post(V2_WISH, headers=headers)
        assert (answer["statusCode"], body_of(answer)["revision"]) == (201, 2)
        whole(harness)
        assert harness.states() == [(1, "SUPERSEDED"), (2, "ACTIVE")]


def test_a_deployment_that_greengrass_has_is_adopted_and_not_made_again(harness: DeploymentHarness) -> None:
    first_revision(harness)
    harness.gaps.calls = []
    harness.post(V2_WISH)
    after_create = harness.gaps.calls.index("greengrass.create")
    again = DeploymentHarness()
    first_revision(again)
    again.gaps.calls, again.gaps.die_at = [], (after_create, True)
    with pytest.raises(Crash):
        again.post(V2_WISH)
    again.gaps.die_at, again.gaps.calls = None, []
    again.clock.advance(61)

    again.sweep()

    assert "greengrass.create" not in again.gaps.calls
    assert again.states() == [(1, "SUPERSEDED"), (2, "ACTIVE")]


def test_one_that_others_deployed_over_before_it_was_finished_is_made_on_top_of_theirs() -> None:
    harness = DeploymentHarness()
    harness.gaps.die_at = (calls_of_a_post().index("greengrass.create"), True)
    with pytest.raises(Crash):
        harness.post()
    harness.gaps.die_at = None
    before = dict(ENROLLED)
    for theirs in (before | {"their.Component": {"componentVersion": "1.0.0"}}, before):
        harness.greengrass.revise(harness.arn, theirs)  # the second time what was there before ours
        harness.clock.advance(61)

        harness.sweep()

        latest = harness.greengrass.latest(harness.arn)
        (made,) = harness.deployments.newest_first("thinggroup/line-3")
        assert latest is not None
        assert (made.state.value, made.greengrass_id) == ("ACTIVE", latest.greengrass_id)
        assert carries(latest.components, made.document_uri)
        harness.put_back(made)


def test_a_second_try_that_finds_other_agents_than_the_first_is_no_conflict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Greengrass does not list yet what it made, and a device that would be asked said a new version."""
    asked: dict[str, Any] = {"agent_version": "0.9.0", "level": 0}
    harness = DeploymentHarness(enrolled=ENROLLED_EARLIER, devices=FakeDevices([a_device("r-1", **asked)]))
    enrolled = harness.greengrass.latest(harness.arn)
    harness.gaps.die_at = (calls_of_a_post().index("greengrass.create"), True)
    with pytest.raises(Crash):
        harness.post()
    harness.gaps.die_at = None
    monkeypatch.setattr(harness.greengrass, "latest", lambda target_arn: enrolled)
    harness.devices.rows["r-1"] = a_device("r-1", agent_version="1.0.0", level=1)
    harness.clock.advance(61)

    harness.sweep()

    assert harness.states() == [(1, "ACTIVE")]


def calls_of_a_post() -> list[str]:
    harness = DeploymentHarness()
    harness.post()
    return harness.gaps.calls


def test_while_a_submission_is_young_the_next_post_waits_its_turn(harness: DeploymentHarness) -> None:
    harness.greengrass.broken = Unavailable("CreateDeployment: timeout")
    submitting = harness.post()
    assert (submitting["statusCode"], body_of(submitting)["state"]) == (201, "SUBMITTING")
    assert "not answered yet" in body_of(submitting)["warnings"][-1]

    refused = harness.post(V2_WISH)

    assert (refused["statusCode"], body_of(refused)["code"]) == (409, "deployment-in-progress")
    assert refused["headers"]["retry-after"] == "10"
    assert body_of(refused)["deployment"] == body_of(submitting)["id"]
    assert harness.sweep() == 0


def test_a_refused_submission_is_failed_and_counted_and_the_next_revision_follows(
    harness: DeploymentHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.greengrass.broken = Refused("CreateDeployment: ValidationException")
    answer = harness.post()
    assert (answer["statusCode"], body_of(answer)["code"]) == (502, "greengrass-refused")
    failed = body_of(harness.get(body_of(answer)["deployment"]))
    assert (failed["state"], failed["code"]) == ("FAILED", "greengrass-refused")

    harness.greengrass.broken = None
    assert body_of(harness.post())["revision"] == 2
    assert harness.states() == [(1, "FAILED"), (2, "ACTIVE")]
    assert emitted(capsys) == {"deployments_failed": [1]}
    whole(harness)


def test_a_conflict_is_waited_out_and_at_last_called_a_failure(harness: DeploymentHarness) -> None:
    harness.greengrass.broken = Conflict("CreateDeployment: ConflictException")
    assert body_of(harness.post())["state"] == "SUBMITTING"
    harness.clock.advance(14 * 60)
    assert harness.sweep() == 0
    harness.clock.advance(60)
    assert harness.sweep() == 1
    assert harness.states() == [(1, "FAILED")]


def test_an_agent_configuration_that_cannot_be_kept_is_not_overwritten(harness: DeploymentHarness) -> None:
    broken = {"io.fleetgrass.Agent": {"componentVersion": "1.0.0", "configurationUpdate": {"merge": "[1"}}}
    harness.greengrass.deployments[harness.arn].append(("gg-x", broken))
    answer = harness.post()
    assert (answer["statusCode"], body_of(answer)["code"]) == (502, "agent-configuration-unreadable")
    assert len(harness.greengrass.deployments[harness.arn]) == 2
    assert harness.states() == [(1, "FAILED")]


def test_of_two_posts_at_the_same_moment_one_gets_the_revision(harness: DeploymentHarness) -> None:
    """The second finds its revision taken between its read and its write."""
    taken: list[dict[str, Any]] = []
    put = harness.documents.put

    def somebody_is_faster(document: bytes) -> str:
        if not taken:
            taken.append({})
            taken[0] = harness.post(V2_WISH)
        return put(document)

    harness.documents.put = somebody_is_faster  # type: ignore[method-assign]

    answer = harness.post()

    assert taken[0]["statusCode"] == 201
    assert (answer["statusCode"], body_of(answer)["code"]) == (409, "revision-conflict")
    assert harness.states() == [(1, "ACTIVE")]
    whole(harness)


def test_one_deployment_that_cannot_be_finished_does_not_keep_the_others_waiting(
    harness: DeploymentHarness,
) -> None:
    harness.groups.create_group("line-4", None, made_by="the-test")
    harness.groups.add("r-4", "line-4")
    other_arn = harness.account.iot_arn("thinggroup/line-4")
    harness.greengrass.broken = Unavailable("timeout")
    harness.post()
    harness.post(a_wish(group="line-4"))
    harness.greengrass.broken = None
    latest = harness.greengrass.latest

    def unreachable(target_arn: str) -> Any:
        if target_arn == other_arn:
            raise Unavailable("ListDeployments: timeout")
        return latest(target_arn)

    harness.greengrass.latest = unreachable  # type: ignore[method-assign]
    harness.clock.advance(61)

    assert harness.sweep() == 1
    assert harness.states() == [(1, "ACTIVE")]
    assert [d.group for d in harness.deployments.due(harness.clock.now)] == []  # the other's turn is later
    harness.clock.advance(60)
    assert {d.group for d in harness.deployments.due(harness.clock.now)} == {"line-3", "line-4"}
