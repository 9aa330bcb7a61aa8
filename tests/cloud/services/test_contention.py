"""Two transactions that meet on one item are no outage: whoever comes later learns who won, not 503."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from cloud.aws import clients
from cloud.aws.clients import client, translated
from cloud.aws.errors import Conflict, Unavailable
from tests.support.cloud.api import REGION

ITEMS: list[Any] = [{"Delete": {"TableName": "commands", "Key": {"device": {"S": "x"}, "id": {"S": "y"}}}}]


class Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self._body


def cancelled(*reasons: str) -> tuple[int, dict[str, object]]:
    return 400, {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }


DONE: tuple[int, dict[str, object]] = (200, {})
MET = cancelled("TransactionConflict", "None")
LOST = cancelled("ConditionalCheckFailed")
MET_ALONE: tuple[int, dict[str, object]] = (
    400,
    {"__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException"},
)


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    client.cache_clear()
    yield client("dynamodb")
    client.cache_clear()


def answering(dynamodb: Any, answers: Sequence[tuple[int, dict[str, object]]]) -> list[bytes]:
    """Have DynamoDB give ``answers``, the last one again and again; return what it is asked."""
    asked: list[bytes] = []

    def answer(request: Any, **_: object) -> AWSResponse:
        status, body = answers[min(len(asked), len(answers) - 1)]
        asked.append(request.body)
        return AWSResponse(request.url, status, HTTPHeaders(), Raw(json.dumps(body).encode()))

    dynamodb.meta.events.register("before-send.dynamodb", answer)
    return asked


def test_a_transaction_that_met_another_is_tried_again_as_the_same_one(dynamodb: Any) -> None:
    asked = answering(dynamodb, [MET, MET, DONE])

    with translated():
        dynamodb.transact_write_items(TransactItems=ITEMS)

    assert len(asked) == 3
    assert len(set(asked)) == 1  # with its ClientRequestToken: DynamoDB does it once


def test_who_lost_to_the_other_is_told_so(dynamodb: Any) -> None:
    asked = answering(dynamodb, [MET, LOST])

    with pytest.raises(Conflict), translated():
        dynamodb.transact_write_items(TransactItems=ITEMS)

    assert len(asked) == 2


def test_a_write_that_met_a_transaction_is_tried_again(dynamodb: Any) -> None:
    asked = answering(dynamodb, [MET_ALONE, DONE])

    with translated():
        dynamodb.delete_item(**ITEMS[0]["Delete"])

    assert len(asked) == 2


def test_it_is_given_up_in_the_end(dynamodb: Any) -> None:
    asked = answering(dynamodb, [MET])

    with pytest.raises(Unavailable), translated():
        dynamodb.transact_write_items(TransactItems=ITEMS)

    assert len(asked) == 1 + clients._MEETINGS
