"""Two operators at one target: If-Match and If-None-Match of POST /deployments, and the ETags they name."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cloud.aws.errors import Refused, Unavailable
from cloud.http.gateway_events import Problem
from cloud.http.preconditions import Preconditions, preconditions
from tests.support.cloud.api import DEPLOYMENTS, OneCallAtATime, body_of
from tests.support.cloud.deploying import DeploymentHarness, Gaps, a_wish
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB, table_of

V2_WISH = a_wish({"name": "web", "image": "fleetgrass/hello:v2"})


@pytest.fixture
def harness() -> DeploymentHarness:
    return DeploymentHarness()


def in_dynamodb() -> MemoryDynamoDB:
    """DynamoDB in dictionaries, held against moto in test_memory_dynamodb."""
    dynamodb = MemoryDynamoDB()
    dynamodb.create_table(**table_of("DeploymentsTable") | {"TableName": DEPLOYMENTS})
    return dynamodb


def refused(answer: dict[str, Any]) -> tuple[int, str, int | None]:
    problem = body_of(answer)
    return answer["statusCode"], problem["code"], problem.get("revision")


def test_a_deployment_is_answered_and_shown_with_the_tag_of_its_revision(harness: DeploymentHarness) -> None:
    first, second = harness.post(), harness.post(V2_WISH)

    assert [each["headers"]["etag"] for each in (first, second)] == ['"1"', '"2"']
    for made, tag in ((first, '"1"'), (second, '"2"')):
        shown = harness.get(body_of(made)["id"])["headers"]
        assert (shown["etag"], shown["cache-control"]) == (tag, "no-store")


def test_the_tag_of_the_newest_revision_lets_in_and_the_one_before_does_not(
    harness: DeploymentHarness,
) -> None:
    tag = harness.post()["headers"]["etag"]
    mine = harness.post(V2_WISH, headers={"If-Match": tag})
    assert mine["statusCode"] == 201

    too_late = harness.post(headers={"If-Match": tag})

    assert refused(too_late) == (412, "precondition-failed", 2)
    assert body_of(too_late)["deployment"] == body_of(mine)["id"]
    assert body_of(too_late)["detail"] == "line-3 is at revision 2"
    assert harness.post(headers={"If-Match": mine["headers"]["etag"]})["statusCode"] == 201


def test_a_precondition_that_fails_writes_nothing_and_asks_greengrass_nothing(
    harness: DeploymentHarness,
) -> None:
    harness.post()
    harness.greengrass.broken = Unavailable("CreateDeployment: timeout")
    harness.post(V2_WISH)
    harness.clock.advance(61)  # what was left SUBMITTING is somebody's to finish, but not now
    before, harness.gaps.calls = (dict(harness.documents.stored), harness.states()), []

    answer = harness.post(headers={"If-Match": '"1"', "Idempotency-Key": "k"})

    assert refused(answer) == (412, "precondition-failed", 2)
    assert (harness.documents.stored, harness.states()) == before
    assert set(harness.gaps.calls) == {"deployments.by_idempotency_key", "deployments.newest_first"}
    harness.greengrass.broken = None
    again = harness.post(headers={"If-Match": '"2"', "Idempotency-Key": "k"})
    assert again["statusCode"] == 201, "a refused call has not used its key"
    assert harness.states() == [(1, "SUPERSEDED"), (2, "SUPERSEDED"), (3, "ACTIVE")]


def test_whoever_asks_for_no_revision_at_all_is_the_first_or_refused(harness: DeploymentHarness) -> None:
    absent, present = {"If-None-Match": "*"}, {"If-Match": "*"}

    assert refused(harness.post(headers=present)) == (412, "precondition-failed", None)
    assert harness.post(headers=absent)["statusCode"] == 201
    assert refused(harness.post(headers=absent)) == (412, "precondition-failed", 1)
    assert harness.post(headers=present)["statusCode"] == 201
    assert harness.states() == [(1, "SUPERSEDED"), (2, "ACTIVE")]


def test_a_revision_that_failed_is_the_newest_all_the_same(harness: DeploymentHarness) -> None:
    harness.post()
    harness.greengrass.broken = Refused("CreateDeployment: ValidationException")
    assert harness.post(V2_WISH)["statusCode"] == 502
    harness.greengrass.broken = None

    assert refused(harness.post(headers={"If-Match": '"1"'})) == (412, "precondition-failed", 2)
    assert harness.post(headers={"If-Match": '"2"'})["statusCode"] == 201


def test_a_repeated_call_is_answered_again_though_its_own_revision_is_the_newest_now(
    harness: DeploymentHarness,
) -> None:
    harness.post()
    headers = {"If-Match": '"1"', "Idempotency-Key": "k"}

    first, again = harness.post(V2_WISH, headers=headers), harness.post(V2_WISH, headers=headers)

    assert (again["statusCode"], body_of(again)["id"]) == (201, body_of(first)["id"])
    assert again["headers"]["etag"] == '"2"'
    assert harness.states() == [(1, "SUPERSEDED"), (2, "ACTIVE")]


def test_what_is_wrong_with_the_call_itself_is_said_first(harness: DeploymentHarness) -> None:
    harness.post()
    late = {"If-Match": '"9"'}
    assert harness.post(a_wish(group="line-9"), headers=late)["statusCode"] == 404
    assert harness.post({}, headers=late)["statusCode"] == 400
    assert harness.post(roles="Fleet.Deployer:line-4", headers=late)["statusCode"] == 403
    assert harness.post(a_wish({"name": "a", "image": "ghost:1"}), headers=late)["statusCode"] == 422


class Meanwhile(Gaps):
    """Lets ``other`` happen once: before or after the call of a number."""

    def __init__(self, number: int, *, after: bool, other: Callable[[], object]) -> None:
        super().__init__()
        self._at, self._after, self._other, self.happened = number, after, other, False

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        mine = not self.happened and len(self.calls) == self._at
        if not self.happened:
            self.calls.append(name)
        if not mine:
            return call()
        self.happened = True
        if self._after:
            answer = call()
            self._other()
            return answer
        self._other()
        return call()


def interleaved(
    headers: dict[str, str], posted_before: int
) -> Iterator[tuple[DeploymentHarness, list[dict[str, Any]]]]:
    """Give what two posts were answered, the second one whole within each gap of the first in turn."""
    for after in (False, True):
        number = 0
        while True:
            harness = DeploymentHarness(in_dynamodb())
            for _ in range(posted_before):
                harness.post()
            answers: list[dict[str, Any]] = []

            def other(harness: DeploymentHarness = harness, answers: list[dict[str, Any]] = answers) -> None:
                answers.append(harness.post(V2_WISH, headers=headers))

            gaps = harness.gaps = Meanwhile(number, after=after, other=other)
            answers.append(harness.post(headers=headers))
            if not gaps.happened:
                assert number > 5, gaps.calls
                break
            yield harness, answers
            number += 1


@pytest.mark.parametrize(
    ("headers", "posted_before"), [({"If-Match": '"1"'}, 1), ({"If-None-Match": "*"}, 0)]
)
def test_of_two_posts_on_the_same_condition_one_is_201_and_one_412_wherever_they_meet(
    headers: dict[str, str], posted_before: int
) -> None:
    for harness, answers in interleaved(headers, posted_before):
        assert sorted(each["statusCode"] for each in answers) == [201, 412], harness.gaps.calls
        (lost,) = [each for each in answers if each["statusCode"] == 412]
        assert body_of(lost)["revision"] == posted_before + 1
        assert [revision for revision, _ in harness.states()] == list(range(1, posted_before + 2))
        assert harness.states()[-1] == (posted_before + 1, "ACTIVE")


def test_a_condition_that_still_holds_loses_a_race_with_409() -> None:
    lost = [
        body_of(answer)["code"]
        for _, answers in interleaved({"If-Match": "*"}, 1)
        for answer in answers
        if answer["statusCode"] != 201
    ]
    assert set(lost) == {"revision-conflict", "deployment-in-progress"}


def test_of_many_parallel_posts_on_the_same_condition_one_is_201_and_the_others_412() -> None:
    harness = DeploymentHarness(OneCallAtATime(in_dynamodb()))
    tag = harness.post()["headers"]["etag"]
    start = threading.Barrier(8)

    def post(_: int) -> dict[str, Any]:
        start.wait()
        return harness.post(V2_WISH, headers={"If-Match": tag})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))

    assert sorted(each["statusCode"] for each in answers) == [201, *[412] * 7]
    assert harness.states() == [(1, "SUPERSEDED"), (2, "ACTIVE")]


class Meeting:
    """DynamoDB whose transaction ``number`` is refused: it met that of ``other``, or one that failed too."""

    def __init__(self, number: int, other: Callable[[], object], *, written: bool = False) -> None:
        self.inner = in_dynamodb()
        self._number, self._other, self._written = number, other, written
        self.transactions = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def transact_write_items(self, **request: Any) -> Any:
        self.transactions += 1
        if self.transactions != self._number:
            return self.inner.transact_write_items(**request)
        if self._written:  # and the answer is lost
            self.inner.transact_write_items(**request)
        self._other()
        answer: Any = {
            "Error": {"Code": "TransactionCanceledException"},
            "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}],
        }
        raise ClientError(answer, "TransactWriteItems")


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({"If-Match": '"1"'}, (412, "precondition-failed", 2)),
        ({"If-Match": "*"}, (409, "revision-conflict", None)),
        ({}, (409, "revision-conflict", None)),
    ],
)
def test_of_two_transactions_that_meet_the_one_that_lost_is_told_so(
    headers: dict[str, str], answer: tuple[int, str, int | None]
) -> None:
    line: DeploymentHarness = DeploymentHarness(Meeting(2, lambda: line.post(V2_WISH)))
    line.post()

    assert refused(line.post(headers=headers)) == answer
    assert line.states() == [(1, "SUPERSEDED"), (2, "ACTIVE")]


@pytest.mark.parametrize("written", [False, True])
def test_where_nobody_else_won_it_is_503_and_never_a_condition_that_failed(written: bool) -> None:
    harness = DeploymentHarness(Meeting(2, lambda: None, written=written))
    harness.post()

    answer = harness.post(V2_WISH, headers={"If-Match": '"1"'})

    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "2")
    assert harness.states() == [(1, "ACTIVE"), *([(2, "SUBMITTING")] if written else [])]


@pytest.mark.parametrize(
    ("match", "none_match", "holds_at"),
    [
        (None, None, {None, 1, 7}),
        ("*", None, {1, 7}),
        ('"7"', None, {7}),
        ('"1", "7"', None, {1, 7}),
        ('"1"\t,"7"', None, {1, 7}),
        ('W/"7"', None, set()),
        ('W/"7", "7"', None, {7}),
        ('"07"', None, set()),
        ('""', None, set()),
        ('"1,7"', None, set()),
        ('"*"', None, set()),
        (None, "*", {None}),
        (None, '"7"', {None, 1}),
        (None, 'W/"7"', {None, 1}),
        (None, '"1", "7"', {None}),
        (None, '"*"', {None, 1, 7}),
        ("*", '"7"', {1}),
        ('"7"', "*", set()),
    ],
)
def test_tags_are_compared_as_rfc_9110_says(
    match: str | None, none_match: str | None, holds_at: set[int | None]
) -> None:
    given = {"if-match": match, "if-none-match": none_match}
    asked = preconditions({name: value for name, value in given.items() if value is not None})

    tags = {None: None, 1: '"1"', 7: '"7"'}
    assert {revision for revision, tag in tags.items() if asked.hold(tag)} == holds_at


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize(
    "value", ["", "7", "'7'", '"7', '7"', '*, "7"', '"7" "8"', '"7",', 'w/"7"', '"a b"', '"ü"', "**", '"7"\n']
)
def test_what_is_no_tag_is_400_and_names_the_header(
    harness: DeploymentHarness, name: str, value: str
) -> None:
    answer = harness.post(headers={name: value})

    assert (answer["statusCode"], body_of(answer)["code"]) == (400, "invalid-precondition")
    assert name in body_of(answer)["detail"]
    assert harness.states() == []
    with pytest.raises(Problem):
        preconditions({name.lower(): value})


def test_nothing_asked_is_nothing_asked() -> None:
    assert preconditions({"match": '"7"'}) == Preconditions(None, None)
