"""Query parameters: parsed by a model, and each wrong one told by its name and by what it must be."""

import base64
from datetime import UTC, datetime

import pytest

from cloud.functions.audit.list_audit import AuditQuery
from cloud.functions.audit.verify_audit import VerifyQuery
from cloud.functions.deployments.list_deployments import DeploymentsQuery
from cloud.functions.devices.get_device_history import HistoryQuery
from cloud.functions.devices.list_devices import DevicesQuery
from cloud.functions.groups.add_device_to_group import MoveQuery
from cloud.functions.groups.list_groups import GroupsQuery
from cloud.http.gateway_events import Problem
from cloud.http.paging import following
from cloud.http.query import Query, parse_query

TIME = "must be a time with its offset from UTC, as 2026-11-22T12:00:00Z"
NOT_OURS, NOT_VALID = "not one that a page gave", "not a valid one"


def cursor(key: str) -> str:
    return str(following(key))


@pytest.mark.parametrize("text", ["", "0", "101", "0050", "+5", "5.0", " 5", "1_0", "٣"])
def test_a_limit_is_digits_from_1_to_100(text: str) -> None:
    with pytest.raises(Problem, match=r"^limit: must be 1 to 100$"):
        parse_query({"limit": text}, DevicesQuery)


@pytest.mark.parametrize(
    ("model", "name", "text", "complaint"),
    [
        (DevicesQuery, "state", "asleep", NOT_VALID),
        (DevicesQuery, "agent_version", "", NOT_VALID),
        (DevicesQuery, "cursor", cursor("{}"), NOT_OURS),
        (DevicesQuery, "cursor", "YQ", NOT_OURS),
        (DeploymentsQuery, "cursor", cursor("0"), NOT_OURS),
        (DeploymentsQuery, "cursor", base64.b64encode(b"\xff").decode(), NOT_OURS),
        (GroupsQuery, "cursor", "é", NOT_OURS),
        (GroupsQuery, "cursor", "", NOT_OURS),
        (AuditQuery, "cursor", "9" * 13, NOT_OURS),
        (AuditQuery, "day", "20261122", "must be a day, YYYY-MM-DD"),
        (AuditQuery, "day", "2026-02-30", "day is out of range for month"),
        (VerifyQuery, "cursor", "1-0", NOT_OURS),
        (HistoryQuery, "from", "2026-11-22T12:00:00", TIME),
        (HistoryQuery, "to", "0001-01-01T00:00:00+14:00", TIME),
        (MoveQuery, "move", "yes", "must be true or false"),
    ],
)
def test_a_wrong_parameter_is_told_what_it_must_be(
    model: type[Query], name: str, text: str, complaint: str
) -> None:
    with pytest.raises(Problem) as refused:
        parse_query({name: text}, model)

    problem = refused.value
    assert (problem.status, problem.code, problem.extra) == (400, "invalid-parameter", {"field": name})
    assert problem.detail == f"{name}: {complaint}"


def test_an_unknown_parameter_is_told_before_a_wrong_one() -> None:
    with pytest.raises(Problem) as refused:
        parse_query({"limit": "0", "b": "1", "a": "1"}, DevicesQuery)

    assert (refused.value.code, refused.value.extra) == ("unknown-parameter", {"field": "a"})


def test_what_is_right_is_of_its_type() -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)

    assert parse_query({"limit": "050"}, DevicesQuery).limit == 50
    assert parse_query({"cursor": cursor("12")}, DeploymentsQuery).cursor == 12
    assert parse_query({"cursor": cursor('[[1,"robot"],null]')}, DevicesQuery).cursor == [(1, "robot"), None]
    assert parse_query({"from": "2026-11-22T14:00:00+02:00"}, HistoryQuery).from_ == noon
    assert parse_query({"move": "true"}, MoveQuery).move is True
