"""The framing: what a wrong body, a wrong path and a wrong turn of ours look like to the caller."""

import base64
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from cloud.auth import strict_json
from cloud.aws.errors import Unavailable
from cloud.domain.idempotency import Idempotency
from cloud.http import gateway_events
from cloud.http.gateway_events import BODY_MAX_BYTES, Problem, Response
from cloud.http.handler import Request, field_path, lambda_handler
from cloud.telemetry.logs import log_event
from contract.desired import Application
from tests.support.cloud.api import an_event, body_of

ROUTE = "POST /deployments"


class Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")
    applications: list[Application] = []
    revision: int = 1


def ask(operation: Callable[[Request], Response], event: dict[str, Any]) -> dict[str, Any]:
    return lambda_handler(operation, route=ROUTE)(event, None)


def take(request: Request) -> Response:
    wish = request.parse(Wish)
    return Response(201, {"revision": wish.revision})


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "the body is not JSON: Expecting value at character 0"),
        ("{", "Expecting property name"),
        ('{"revision": 1, "revision": 2}', '"revision" is given twice in one object'),
        (
            '{"applications": [{"name": "a", "image": "x", "name": "b"}]}',
            '"name" is given twice in one object',
        ),
        ('{"revision": NaN}', "NaN is not JSON"),
        ('{"revision": Infinity}', "Infinity is not JSON"),
        ('{"revision": -Infinity}', "-Infinity is not JSON"),
        ("{} {}", "Extra data at character 3"),
        ("\ufeff{}", "the body is not JSON: Expecting value at character 0"),
        ('{"revision": 1e999}', "1e999 is out of range"),
        ("[" * 100_000, "nested too deeply"),
        ('{"revision": ' + "9" * 5000 + "}", "the body is not JSON"),
        ('{"a": "\\ud800"}', "not UTF-8 text"),
        ('{"\\udfff": 1}', "not UTF-8 text"),
    ],
)
def test_a_body_that_is_not_strict_json_is_refused_with_the_reason(text: str, detail: str) -> None:
    answer = ask(take, an_event(ROUTE, text=text))

    assert answer["statusCode"] == 400
    assert body_of(answer)["code"] == "invalid-body"
    assert detail in body_of(answer)["detail"]


def test_a_repeated_name_is_found_by_looking_at_each_name_a_few_times() -> None:
    """A body in its bounds has tens of thousands of names: compared each with each, they take minutes."""
    compared = 0

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    names = [Name(f"name-{number}") for number in range(1000)]
    with pytest.raises(ValueError, match='"name-999" is given twice'):
        strict_json._object([(name, 0) for name in (*names, Name("name-999"))])

    assert compared < 10 * len(names)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"revisoin": 2}, "revisoin", "unknown field"),
        ({"applications": [{"name": "web", "imagee": "x"}]}, "applications[0].image", "Field required"),
        ({"revision": "2"}, "revision", "valid integer"),
        ({"revision": True}, "revision", "valid integer"),
        ([], "", "valid dictionary"),
        (None, "", "valid dictionary"),
        (
            {"applications": [{"name": "a", "image": "x", "health_check": {"kind": "http", "port": 0}}]},
            "applications[0].health_check.port",
            "greater than or equal to 1",
        ),
    ],
)
def test_a_wrong_field_is_named_by_its_path(body: object, field: str, message: str) -> None:
    answer = ask(take, an_event(ROUTE, text=json.dumps(body)))

    problem = body_of(answer)
    assert answer["statusCode"] == 400
    assert problem["code"] == "invalid-field"
    found = {error["field"]: error for error in problem["errors"]}
    assert field in found
    assert message in found[field]["message"] or message in problem["detail"]


def test_a_whole_number_is_one_however_it_is_written() -> None:
    for written in ("2", "2.0", "20e-1", "0.2e1"):
        answer = ask(take, an_event(ROUTE, text=f'{{"revision": {written}}}'))

        assert body_of(answer) == {"revision": 2}
    assert ask(take, an_event(ROUTE, text='{"revision": 2.5}'))["statusCode"] == 400


def test_a_problem_document_has_the_rfcs_members_and_our_code() -> None:
    answer = ask(take, an_event(ROUTE, body={"revisoin": 2}))

    problem = body_of(answer)
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert problem["detail"] == "revisoin: unknown field"
    assert {name: problem[name] for name in ("type", "title", "status", "code", "request_id")} == {
        "type": "urn:fleetgrass:problem:invalid-field",
        "title": "Bad Request",
        "status": 400,
        "code": "invalid-field",
        "request_id": "request-1",
    }


def test_a_wrong_turn_of_ours_tells_the_log_and_not_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    def fails(request: Request) -> Response:
        raise RuntimeError("secret table name")

    with caplog.at_level(logging.ERROR):
        answer = ask(fails, an_event(ROUTE))

    assert answer["statusCode"] == 500
    assert body_of(answer)["code"] == "internal-error"
    assert "secret" not in answer["body"]
    assert "Traceback" not in answer["body"]
    assert "request_id=request-1" in caplog.text
    assert "secret table name" in caplog.text


def test_a_service_that_does_not_answer_is_503_and_worth_another_try() -> None:
    def fails(request: Request) -> Response:
        raise Unavailable("PutItem: Throttling")

    answer = ask(fails, an_event(ROUTE))

    assert answer["statusCode"] == 503
    assert answer["headers"]["retry-after"] == "2"
    assert "PutItem" not in answer["body"]


def test_a_body_over_the_bound_is_413_and_one_of_the_bound_is_taken() -> None:
    largest = '{"revision": 2}'.ljust(BODY_MAX_BYTES)
    encoded = base64.b64encode(largest.encode()).decode()

    for event in (an_event(ROUTE, text=largest), an_event(ROUTE, text=encoded) | {"isBase64Encoded": True}):
        assert body_of(ask(take, event)) == {"revision": 2}
    for text in (largest + " ", "é" * (BODY_MAX_BYTES // 2 + 1)):  # bytes are counted, not characters
        answer = ask(take, an_event(ROUTE, text=text))
        assert (answer["statusCode"], body_of(answer)["code"]) == (413, "body-too-large")
    larger = an_event(ROUTE, text=base64.b64encode(largest.encode() + b" ").decode())
    assert ask(take, larger | {"isBase64Encoded": True})["statusCode"] == 413


def test_a_base64_body_is_read_as_what_it_holds_and_a_false_one_is_refused() -> None:
    event = an_event(ROUTE, text=base64.b64encode(b'{"revision": 7}').decode()) | {"isBase64Encoded": True}
    assert body_of(ask(take, event)) == {"revision": 7}
    assert ask(take, event | {"body": "%%%"})["statusCode"] == 400


@pytest.mark.parametrize("device", ["a b", "a/b", "a#", "+", "x" * 129, "%2F", "é", "a\n"])
def test_a_path_parameter_that_no_thing_can_be_called_is_400_and_named(device: str) -> None:
    answer = ask(take, an_event(ROUTE, path={"device": device}))
    assert (answer["statusCode"], body_of(answer)["field"]) == (400, "device")


def test_an_encoded_path_parameter_is_decoded_before_it_is_judged() -> None:
    def name(request: Request) -> Response:
        return Response(200, {"device": request.path["device"]})

    assert body_of(ask(name, an_event(ROUTE, path={"device": "line%3A7"}))) == {"device": "line:7"}


def test_a_token_that_expired_since_the_cached_decision_is_401() -> None:
    entry = lambda_handler(take, route=ROUTE, now=lambda: 1_060.0)
    assert entry(an_event(ROUTE, body={}, exp=1_001), None)["statusCode"] == 201  # clocks may differ by this
    answer = entry(an_event(ROUTE, body={}, exp=1_000), None)
    assert (answer["statusCode"], body_of(answer)["code"]) == (401, "token-expired")


@pytest.mark.parametrize("authorizer", [None, {}, {"lambda": {}}, {"lambda": {"subject": "a", "exp": "x"}}])
def test_a_request_that_passed_no_authorizer_is_401(authorizer: object) -> None:
    event = an_event(ROUTE)
    event["requestContext"]["authorizer"] = authorizer
    assert ask(take, event)["statusCode"] == 401


@pytest.mark.parametrize("event", [{}, {"requestContext": 3}, {"requestContext": {}, "headers": 3}])
def test_an_event_of_no_gateway_gets_an_answer_all_the_same(event: dict[str, Any]) -> None:
    assert ask(take, event)["statusCode"] in (401, 500)


def test_an_idempotency_key_is_the_callers_own_and_bound_to_what_was_asked() -> None:
    seen: list[Idempotency | None] = []

    def keep(request: Request) -> Response:
        seen.append(request.idempotency())
        return Response(200)

    ask(keep, an_event(ROUTE, text="a", headers={"Idempotency-Key": "k1"}))
    ask(keep, an_event(ROUTE, text="b", headers={"idempotency-key": "k1"}))
    ask(keep, an_event(ROUTE, text="a", headers={"Idempotency-Key": "k1"}, subject="bob"))
    ask(keep, an_event(ROUTE, text="a", headers={"Idempotency-Key": "k1"}, issuer="https://second.test"))
    first, other_body, other_caller, other_ada = seen

    assert first is not None
    assert other_body is not None
    assert other_caller is not None
    assert first.key == other_body.key
    assert first.fingerprint != other_body.fingerprint
    assert first.key != other_caller.key
    assert other_ada is not None
    assert first.key != other_ada.key  # a subject is somebody at its issuer only


@pytest.mark.parametrize("key", ["", "a b", "é", "k" * 256])
def test_a_key_that_is_none_is_400(key: str) -> None:
    def ask_for_it(request: Request) -> Response:
        request.idempotency()
        return Response(200)

    answer = ask(ask_for_it, an_event(ROUTE, headers={"Idempotency-Key": key}))
    assert body_of(answer)["code"] == "invalid-idempotency-key"


@given(st.binary(max_size=200))
def test_no_body_at_all_makes_us_fail(body: bytes) -> None:
    event = an_event(ROUTE, text=base64.b64encode(body).decode()) | {"isBase64Encoded": True}
    assert ask(take, event)["statusCode"] in (201, 400)


def test_a_path_skips_the_tags_that_are_not_in_the_body() -> None:
    value = {"a": [{"check": {"kind": "http", "port": 0}}]}
    assert field_path(("a", 0, "check", "http", "port"), value) == "a[0].check.port"
    assert field_path(("a", 3, "name"), value) == "a[3].name"


def test_problems_may_carry_more_members_but_never_replace_the_rfcs() -> None:
    def fails(request: Request) -> Response:
        raise Problem(409, "device-offline", "it is off", type="x", since="2026-01-01T00:00:00Z")

    problem = body_of(ask(fails, an_event(ROUTE)))
    assert problem["type"] == "urn:fleetgrass:problem:device-offline"
    assert problem["since"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("status", [429, 503])
def test_a_problem_that_passes_says_when_to_come_again(status: int) -> None:
    def fails(request: Request) -> Response:
        raise Problem(status, "busy", "not now")

    assert ask(fails, an_event(ROUTE))["headers"]["retry-after"] == "2"


def test_a_problem_that_knows_better_when_to_come_again_is_kept_and_one_that_stays_says_nothing() -> None:
    def fails(request: Request) -> Response:
        raise Problem(429, "busy", "not now", headers={"retry-after": "30"})

    assert ask(fails, an_event(ROUTE))["headers"]["retry-after"] == "30"
    assert "retry-after" not in ask(take, an_event(ROUTE, text="{"))["headers"]


@pytest.mark.parametrize("body", [{"revision": 2}, {"revisoin": 2}])
def test_every_answer_carries_the_id_that_finds_it_in_the_log(body: object) -> None:
    assert ask(take, an_event(ROUTE, body=body))["headers"]["x-request-id"] == "request-1"


def facts(record: logging.LogRecord) -> dict[str, object]:
    """What the Lambda runtime puts beside the message into the JSON line."""
    plain = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName"}
    return {name: value for name, value in record.__dict__.items() if name not in plain}


def test_a_request_is_one_line_with_its_facts_as_members(caplog: pytest.LogCaptureFixture) -> None:
    event = an_event(ROUTE, path={"device": "robot-7"}, body={"revisoin": 2})

    with caplog.at_level(logging.INFO):
        ask(take, event)

    (record,) = caplog.records
    told = facts(record)
    assert isinstance(told.pop("duration_ms"), int)
    assert told == {
        "request_id": "request-1",
        "operation": "create-deployment",
        "route": ROUTE,
        "status": 400,
        "code": "invalid-field",
        "subject": "ada",
        "device": "robot-7",
    }
    assert 'route="POST /deployments" status=400' in record.getMessage()


def test_what_a_path_names_is_called_in_the_log_as_everywhere_else(caplog: pytest.LogCaptureFixture) -> None:
    name_of_any = "x-" + "0" * 26
    path = dict.fromkeys(gateway_events.PATH_PARAMETERS, name_of_any)
    documented = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()

    with caplog.at_level(logging.INFO):
        ask(take, an_event(ROUTE, path=path, body={}))

    told = {name for name, fact in facts(caplog.records[-1]).items() if fact == name_of_any}
    assert told == {"device", "application", "command", "deployment", "group", "group_reboot", "repository"}
    assert [name for name in told if f"`{name}`" not in documented] == []


def test_every_line_of_a_request_has_its_id_whoever_tells_it(caplog: pytest.LogCaptureFixture) -> None:
    def fails(request: Request) -> Response:
        log_event(logging.getLogger("cloud.services.dispatch"), "command sent", device="robot-7")
        raise ZeroDivisionError

    with caplog.at_level(logging.INFO):
        ask(fails, an_event(ROUTE, body={}))

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "command sent",
        "request failed",
        "request",
    ]
    assert {vars(record)["request_id"] for record in caplog.records} == {"request-1"}


def test_neither_token_nor_body_nor_a_line_of_the_callers_own_gets_into_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    event = an_event(
        ROUTE,
        body={"applications": [{"name": "web", "env": {"KEY": "hunter2"}}]},
        headers={"Authorization": "Bearer ey.secret.token"},
        path={"device": "not a device\nforged: line=1"},
        subject="ada\nforged: line=2",
    )

    with caplog.at_level(logging.DEBUG):
        ask(take, event)

    (record,) = caplog.records
    said = record.getMessage() + json.dumps(facts(record))
    assert "hunter2" not in said
    assert "secret" not in said
    assert "line=1" not in said
    assert "\n" not in record.getMessage()
