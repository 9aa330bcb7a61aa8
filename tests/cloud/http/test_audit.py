"""The audit: a chain that nobody can change unnoticed, whoever writes to it at the same time."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.auth.permissions import ScopeRule
from cloud.auth.routes import ROUTES
from cloud.aws.errors import Unavailable
from cloud.domain.audit_chain import Event, Head, hash_of, link, verify
from cloud.functions.audit.export_audit import export_audit
from cloud.functions.audit.list_audit import list_audit
from cloud.functions.audit.verify_audit import verify_audit
from cloud.http import audit_recorder
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler
from cloud.tables.audit import Audit
from tests.support.cloud.answers import served
from tests.support.cloud.api import NOW, Clock, OneCallAtATime, an_event, body_of
from tests.support.cloud.template import template

DAY = "2026-11-22"
REBOOT, READ = "POST /devices/{device}/reboot", "GET /devices/{device}"
REBOOTED = Event(
    at=NOW, request_id="r-1", caller={"subject": "ada"}, operation="reboot-device",
    target={"device": "robot-7"}, outcome="succeeded", status=202, reason="stuck", after={"command": "cmd-1"},
)  # fmt: skip


def a_chain(length: int) -> tuple[list[dict[str, Any]], Head]:
    entries: list[dict[str, Any]] = []
    head = Head()
    for number in range(length):
        entries.append(link(replace(REBOOTED, request_id=f"r-{number}"), head))
        head = Head(number + 1, entries[-1]["hash"])
    return entries, head


def test_an_entry_says_who_what_why_and_what_came_of_it() -> None:
    entry = link(REBOOTED, Head())

    assert (entry["day"], entry["sequence"], entry["at"]) == (DAY, 1, "2026-11-22T12:00:00.000Z")
    assert (entry["operation"], entry["target"]) == ("reboot-device", {"device": "robot-7"})
    assert (entry["outcome"], entry["reason"], entry["after"]) == ("succeeded", "stuck", {"command": "cmd-1"})
    assert "before" not in entry
    assert entry["hash"] == hash_of(entry)


def test_a_whole_chain_is_intact_and_an_empty_day_too() -> None:
    entries, head = a_chain(4)

    assert verify(entries, head).broken_at is None
    assert verify(entries, head).entries == 4
    assert verify([], Head()).broken_at is None


def test_a_number_counts_as_the_table_keeps_it() -> None:
    entry = link(replace(REBOOTED, after={"delay_s": 4.0, "steps": [{"share": 0.5}, {"share": 1.0}]}), Head())

    kept = entry | {"after": {"delay_s": 4, "steps": [{"share": 0.5}, {"share": 1}]}}

    assert verify([kept], Head(1, entry["hash"])).broken_at is None
    assert hash_of(kept | {"after": {"delay_s": 5}}) != entry["hash"]


@given(length=st.integers(1, 6), data=st.data())
def test_no_change_omission_insertion_or_exchange_goes_unnoticed(length: int, data: st.DataObject) -> None:
    entries, head = a_chain(length)
    at = data.draw(st.integers(0, length - 1))
    match data.draw(st.sampled_from(["change", "rehash", "omit", "insert", "exchange", "cut"])):
        case "change":
            entries[at] = entries[at] | {"reason": "nothing to see"}
        case "rehash":
            changed = entries[at] | {"reason": "nothing to see"}
            entries[at] = changed | {"hash": hash_of(changed)}
        case "omit":
            del entries[at]
        case "insert":
            entries.insert(at, entries[at])
        case "exchange" if length > 1:
            other = (at + 1) % length
            entries[at], entries[other] = entries[other], entries[at]
        case _:
            entries = entries[:at]

    assert verify(entries, head).broken_at is not None


@pytest.fixture
def audit(dynamodb: Any, request: pytest.FixtureRequest) -> Audit:
    described = template()["Resources"]["AuditTable"]["Properties"]
    wanted = ("AttributeDefinitions", "KeySchema", "BillingMode")
    name = f"audit-{abs(hash(request.node.name))}"
    dynamodb.create_table(TableName=name, **{key: described[key] for key in wanted})
    return Audit(dynamodb, name, sleep=lambda _: None)


def test_entries_follow_each_other_and_each_day_begins_anew(audit: Audit) -> None:
    for number in range(3):
        audit.append(replace(REBOOTED, request_id=f"r-{number}"))
    audit.append(replace(REBOOTED, at=NOW + timedelta(days=1)))

    entries = list(audit.entries(DAY))

    assert [entry["sequence"] for entry in entries] == [1, 2, 3]
    assert verify(entries, audit.head(DAY)).broken_at is None
    assert [entry["sequence"] for entry in audit.entries("2026-11-23")] == [1]
    assert [entry["sequence"] for entry in audit.entries(DAY, after=1, at_most=1)] == [2]
    assert [entry["sequence"] for entry in audit.newest(DAY, before=3, at_most=9)] == [2, 1]
    assert list(audit.newest(DAY, before=1, at_most=9)) == []


def test_of_many_writers_at_once_each_gets_a_place_of_its_own(dynamodb: Any, audit: Audit) -> None:
    shared = Audit(OneCallAtATime(dynamodb), audit._name)
    with ThreadPoolExecutor(16) as writers:
        list(writers.map(lambda n: shared.append(replace(REBOOTED, request_id=f"r-{n}")), range(16)))

    entries = list(audit.entries(DAY))
    assert {entry["request_id"] for entry in entries} == {f"r-{number}" for number in range(16)}
    assert (len(entries), verify(entries, audit.head(DAY)).broken_at) == (16, None)


class _Lossy:
    """DynamoDB whose answer to a transaction is lost once, after it was (or was not) carried out."""

    def __init__(self, table: Any, *, carried_out: bool) -> None:
        self._table, self._carried_out, self.lost = table, carried_out, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def transact_write_items(self, **request: Any) -> Any:
        if self.lost:
            return self._table.transact_write_items(**request)
        self.lost = True
        if self._carried_out:
            self._table.transact_write_items(**request)
        raise Unavailable("timed out")


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_lost_answer_makes_neither_two_entries_nor_none(
    dynamodb: Any, audit: Audit, *, carried_out: bool
) -> None:
    lossy = Audit(_Lossy(dynamodb, carried_out=carried_out), audit._name, sleep=lambda _: None)

    lossy.append(REBOOTED)

    assert [entry["sequence"] for entry in audit.entries(DAY)] == [1]
    assert verify(list(audit.entries(DAY)), audit.head(DAY)).broken_at is None


class Api:
    """The three routes over one table."""

    def __init__(self, audit: Audit) -> None:
        self._operations = {
            "GET /audit": lambda r: list_audit(r, audit=audit, clock=Clock()),
            "GET /audit/verify": lambda r: verify_audit(r, audit=audit, clock=Clock()),
            "GET /audit/export": lambda r: export_audit(r, audit=audit, clock=Clock()),
        }

    def get(self, route: str, **query: str) -> dict[str, Any]:
        entry = served(self._operations[route], route=route)
        return entry(an_event(route) | {"queryStringParameters": query or None}, None)


@pytest.fixture
def api(audit: Audit) -> Api:
    for number in range(5):
        operation = "reboot-device" if number % 2 else "create-deployment"
        audit.append(replace(REBOOTED, request_id=f"r-{number}", operation=operation))
    return Api(audit)


def requests_of(answer: dict[str, Any]) -> list[str]:
    return [entry["request_id"] for entry in body_of(answer)["entries"]]


def test_a_day_is_listed_newest_first_page_by_page_and_narrowed(api: Api) -> None:
    first = api.get("GET /audit", limit="3")
    second = api.get("GET /audit", limit="3", cursor=body_of(first)["cursor"])

    assert (requests_of(first), requests_of(second)) == (["r-4", "r-3", "r-2"], ["r-1", "r-0"])
    assert body_of(second)["cursor"] is None
    assert requests_of(api.get("GET /audit", operation="reboot-device")) == ["r-3", "r-1"]
    assert requests_of(api.get("GET /audit", subject="bob")) == []
    assert requests_of(api.get("GET /audit", day="2026-11-21")) == []


@pytest.mark.parametrize("query", [{"day": "today"}, {"day": "2026-02-30"}, {"cursor": "x"}, {"until": "1"}])
def test_a_wrong_parameter_is_refused(api: Api, query: dict[str, str]) -> None:
    assert api.get("GET /audit", **query)["statusCode"] == 400


def test_a_day_is_verified_and_a_changed_entry_is_found(dynamodb: Any, api: Api, audit: Audit) -> None:
    assert body_of(api.get("GET /audit/verify"))["intact"] is True
    key = {"day": {"S": DAY}, "sequence": {"N": "3"}}
    dynamodb.update_item(
        TableName=audit._name, Key=key, UpdateExpression="SET reason = :r",
        ExpressionAttributeValues={":r": {"S": "nothing to see"}},
    )  # fmt: skip

    verdict = body_of(api.get("GET /audit/verify"))

    assert (verdict["intact"], verdict["broken_at"], verdict["entries"]) == (False, 3, 2)


def test_a_day_without_entries_is_intact(api: Api) -> None:
    verdict = body_of(api.get("GET /audit/verify", day="2026-11-21"))

    assert (verdict["intact"], verdict["entries"], verdict["cursor"]) == (True, 0, None)


def verified(api: Api, day: str = DAY) -> list[dict[str, Any]]:
    """The verdict of every page of a day."""
    verdicts = [body_of(api.get("GET /audit/verify", day=day))]
    while verdicts[-1]["cursor"] is not None:
        verdicts.append(body_of(api.get("GET /audit/verify", day=day, cursor=verdicts[-1]["cursor"])))
    return verdicts


def test_a_long_day_is_verified_page_by_page(api: Api, audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.functions.audit.verify_audit.ENTRIES_MAX", 2)

    verdicts = verified(api)

    assert [(each["intact"], each["entries"]) for each in verdicts] == [(True, 2), (True, 4), (True, 5)]
    assert verdicts[-1]["head"] == audit.head(DAY).hash


@pytest.mark.parametrize("gone", [1, 2, 3, 4, 5])
def test_an_entry_that_is_gone_breaks_the_page_that_it_was_on(
    dynamodb: Any, api: Api, audit: Audit, monkeypatch: pytest.MonkeyPatch, gone: int
) -> None:
    monkeypatch.setattr("cloud.functions.audit.verify_audit.ENTRIES_MAX", 2)
    dynamodb.delete_item(TableName=audit._name, Key={"day": {"S": DAY}, "sequence": {"N": str(gone)}})

    *before, last = verified(api)

    assert [each["intact"] for each in before] == [True] * ((gone - 1) // 2)
    assert (last["intact"], last["broken_at"], last["entries"]) == (False, gone, gone - 1)


def test_a_page_does_not_look_beyond_the_head_that_was_read(api: Api, audit: Audit) -> None:
    class WrittenMeanwhile(Audit):
        def head(self, day: str) -> Head:
            head = super().head(day)
            if head.count == 5:
                audit.append(REBOOTED)
            return head

    meanwhile = WrittenMeanwhile(audit._table, audit._name)

    answer = Api(meanwhile).get("GET /audit/verify")

    assert (body_of(answer)["intact"], body_of(answer)["entries"], audit.head(DAY).count) == (True, 5, 6)


@pytest.mark.parametrize("cursor", ["5", "5-", "x-" + "0" * 64, "5-" + "g" * 64, "1" * 13 + "-" + "0" * 64])
def test_a_cursor_that_no_page_gave_is_refused(api: Api, cursor: str) -> None:
    assert api.get("GET /audit/verify", cursor=cursor)["statusCode"] == 400


@pytest.mark.parametrize("place", [0, 2, 5, 9])
def test_a_cursor_with_another_hash_finds_the_chain_broken(api: Api, place: int) -> None:
    verdict = body_of(api.get("GET /audit/verify", cursor=f"{place}-{'a' * 64}"))

    assert (verdict["intact"], verdict["broken_at"]) == (False, place + 1)


def test_a_day_is_exported_as_lines_that_verify_without_us(
    api: Api, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.functions.audit.export_audit.LINES_MAX", 3)
    first = api.get("GET /audit/export")
    link = first["headers"]["link"]
    rest = api.get("GET /audit/export", cursor=link.partition("cursor=")[2].partition(">")[0])

    lines = (first["body"] + rest["body"]).splitlines()
    assert first["headers"]["content-type"] == "application/x-ndjson"
    assert "link" not in rest["headers"]
    assert verify([json.loads(line) for line in lines], audit.head(DAY)).broken_at is None


def ask(operation: Any, event: dict[str, Any], route: str) -> dict[str, Any]:
    return lambda_handler(operation, route=route, now=lambda: NOW.timestamp())(event, None)


def test_a_call_that_changes_something_is_audited_with_what_it_changed(audited: list[Event]) -> None:
    event = an_event(REBOOT, path={"device": "robot-7"}, body={"reason": "stuck"})

    ask(lambda _: Response(202, {}, before={"a": 1}, after={"a": 2, "at": NOW}), event, REBOOT)

    (entry,) = audited
    assert (entry.operation, entry.outcome, entry.status, entry.reason) == (
        "reboot-device", "succeeded", 202, "stuck",
    )  # fmt: skip
    assert entry.caller["subject"] == "ada"
    assert (entry.target, entry.before, entry.after["a"]) == ({"device": "robot-7"}, {"a": 1}, 2)


def test_a_body_that_the_gateway_encoded_gives_its_reason_too(audited: list[Event]) -> None:
    encoded = base64.b64encode(json.dumps({"reason": "stuck"}).encode()).decode()
    event = an_event(REBOOT, path={"device": "robot-7"}, text=encoded) | {"isBase64Encoded": True}

    ask(lambda _: Response(202, {}), event, REBOOT)

    assert [entry.reason for entry in audited] == ["stuck"]


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("POST /groups", {"name": "line-3"}),
        ("POST /deployments", {"target": {"group": "line-3"}, "applications": []}),
    ],
)
@pytest.mark.parametrize("status", [201, 403, 409])
def test_the_group_that_a_body_names_is_the_target_however_the_call_ends(
    audited: list[Event], route: str, body: object, status: int
) -> None:
    def operation(_: Request) -> Response:
        if status == 201:
            return Response(201, {})
        raise Problem(status, "refused", "no")

    ask(operation, an_event(route, body=body), route)

    assert [(entry.status, entry.target) for entry in audited] == [(status, {"group": "line-3"})]


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"name": 7}', '{"target": "line-3"}', "[" * 100_000])
def test_a_body_that_names_no_group_gives_no_target(audited: list[Event], text: str) -> None:
    for route in ("POST /groups", "POST /deployments"):
        ask(lambda _: Response(201, {}), an_event(route, text=text), route)

    assert [entry.target for entry in audited] == [{}, {}]


def test_every_call_about_a_group_names_it_in_its_path_or_body() -> None:
    changing = [
        (route, it)
        for route, it in ROUTES.items()
        if it.reach is ScopeRule.GROUP and not route.startswith("GET ")
    ]

    assert len(changing) == 6
    for route, it in changing:
        assert ("{group}" in route) != bool(it.names_group), route


def test_a_target_is_called_as_the_handler_knows_it(audited: list[Event]) -> None:
    seen: list[str] = []

    def operation(request: Request) -> Response:
        seen.append(request.path["device"])
        return Response(202, {})

    ask(operation, an_event(REBOOT, path={"device": "robot%3A7"}), REBOOT)
    ask(operation, an_event(REBOOT, path={"device": "robot%207"}), REBOOT)

    assert seen == ["robot:7"]
    assert [(entry.status, entry.target["device"]) for entry in audited] == [
        (202, "robot:7"),
        (400, "robot 7"),
    ]


def test_refusals_and_failures_are_audited_and_what_is_only_looked_at_is_not(audited: list[Event]) -> None:
    def refuse(_: Request) -> Response:
        raise Problem(409, "device-offline", "it is offline")

    def fail(_: Request) -> Response:
        raise RuntimeError("boom")

    ask(refuse, an_event(REBOOT, text="{"), REBOOT)
    ask(fail, an_event(REBOOT), REBOOT)
    ask(refuse, an_event(REBOOT, roles="Fleet.Reader"), REBOOT)
    ask(lambda _: Response(200, {}), an_event(READ), READ)
    ask(lambda _: Response(200, {}), an_event(READ, roles=""), READ)

    assert [(entry.outcome, entry.status, entry.code) for entry in audited] == [
        ("refused", 409, "device-offline"),
        ("failed", 500, "internal-error"),
        ("refused", 403, "role-missing"),
        ("refused", 403, "role-missing"),
    ]


def test_an_entry_that_cannot_be_kept_is_in_the_log_and_counted_and_the_call_stands(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def append(self, _: Event) -> None:
            raise Unavailable("throttled")

    monkeypatch.setattr(audit_recorder, "audit", Broken)

    answer = ask(lambda _: Response(202, {}), an_event(REBOOT, body={"reason": "stuck"}), REBOOT)

    assert answer["statusCode"] == 202
    (lost,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert json.loads(vars(lost)["entry"])["reason"] == "stuck"
    assert json.loads(capsys.readouterr().out)["audit_entries_not_kept"] == 1


@pytest.mark.parametrize("odd", [{"pathParameters": "x"}, {"pathParameters": {"group": 7}}, {"body": 7}])
def test_an_event_that_no_gateway_sends_is_answered_and_remembered(odd: dict[str, Any]) -> None:
    kept: list[Event] = []
    route = "POST /groups"
    entry = lambda_handler(lambda request: Response(201), route=route, audit=kept.append)

    answer = entry(an_event(route) | odd, None)

    assert [event.status for event in kept] == [answer["statusCode"]]
    assert answer["statusCode"] < 500
