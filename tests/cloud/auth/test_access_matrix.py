"""Every route × role × scope, through the authorizer and the real handler, from the one table ``ROUTES``.

A route that is added is in the matrix by that alone. It fails until the harness has what its path names,
until a body that is needed is given, and until the handler does what the table says of its reach.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud.auth.permissions import Role, ScopeRule
from cloud.auth.routes import PUBLIC_ROUTES, ROUTES
from cloud.http.gateway_events import BODY_MAX_BYTES
from cloud.openapi.document import document
from tests.support.cloud.account import GROUPS, AccountHarness, an_account, handler
from tests.support.cloud.api import body_of
from tests.support.cloud.tokens import bearer, decide, token

HERE, THERE = GROUPS
HELD = [
    "",
    "Fleet.Unknown",
    *(f"{role.canonical}{of}" for role in Role for of in ("", f":{HERE}", f":{THERE}")),
]
DESCRIBED = document()["paths"]
DOCUMENT = Path(__file__).parents[3] / "docs" / "access.md"


@pytest.fixture(scope="module")
def harness() -> Iterator[AccountHarness]:
    with an_account() as harness:
        yield harness


def reaches(route: str, held: str) -> bool:
    """Whether the role is enough, wherever it holds."""
    return any(held.partition(":")[0] == role.canonical for role in Role if role >= ROUTES[route].role)


def complaint(route: str, held: str, answer: dict[str, Any]) -> str | None:
    """What is wrong with the answer to a caller who holds ``held`` and asks for what is in HERE."""
    status = answer["statusCode"]
    group = held.partition(":")[2]
    reach = ROUTES[route].reach
    refused = {
        ScopeRule.DEVICE: group == THERE,
        ScopeRule.GROUP: group == THERE,
        ScopeRule.LISTED: False,
        ScopeRule.SHARED: False,
        ScopeRule.FLEET: bool(group),
    }[reach]
    code = "group-not-allowed" if reaches(route, held) else "role-missing"
    if refused or not reaches(route, held):
        right = status == 403 and body_of(answer)["code"] == code
        return None if right else f"{status} is not 403 {code}"
    if status in (400, 401, 403) or status >= 500 or (route.startswith("GET ") and status != 200):
        return f"{status} is no answer to who may: {answer.get('body')}"
    if reach is ScopeRule.LISTED:
        shown = {of for of in GROUPS if of in answer["body"]}
        wanted = {group} if group else set(GROUPS)
        return None if shown == wanted else f"shows {sorted(shown)}, not {sorted(wanted)}"
    return None


@pytest.mark.parametrize(("route", "held"), list(itertools.product(ROUTES, HELD)))
def test_a_handler_answers_who_may_and_refuses_everybody_else(
    harness: AccountHarness, route: str, held: str
) -> None:
    assert complaint(route, held, harness.ask(route, HERE, held)) is None


@pytest.mark.parametrize(("route", "held"), list(itertools.product(ROUTES, HELD)))
def test_the_authorizer_stops_whose_role_reaches_the_route_nowhere(route: str, held: str) -> None:
    assert decide(bearer(token(roles=[held])), route)["isAuthorized"] is reaches(route, held)


@pytest.mark.parametrize("held", ["Fleet.Reader", ""])
@pytest.mark.parametrize("route", [*ROUTES, *PUBLIC_ROUTES])
def test_every_answer_carries_the_id_of_its_request(harness: AccountHarness, route: str, held: str) -> None:
    assert harness.ask(route, HERE, held)["headers"]["x-request-id"] == "request-1"


@pytest.mark.parametrize("route", list(ROUTES))
def test_a_parameter_that_a_route_does_not_know_is_refused_before_anything_is_done(
    harness: AccountHarness, route: str
) -> None:
    answer = harness.ask(route, HERE, "Fleet.Admin", query={"dry_run": "true"})

    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem["code"], problem["field"]) == (400, "unknown-parameter", "dry_run")


@pytest.mark.parametrize("route", [key for key, route in ROUTES.items() if route.takes_query])
def test_a_parameter_that_is_described_is_known_to_the_handler(harness: AccountHarness, route: str) -> None:
    method, path = route.split(" ")
    described = DESCRIBED[path][method.lower()]["parameters"]
    names = [parameter["name"] for parameter in described if parameter["in"] == "query"]

    answers = [harness.ask(route, HERE, "Fleet.Admin", query={name: ""}) for name in names]

    assert names
    assert "unknown-parameter" not in [json.loads(answer["body"]).get("code") for answer in answers]


@pytest.mark.parametrize("route", list(ROUTES))
def test_a_body_that_is_too_large_is_refused_by_every_route_and_its_description_says_so(
    harness: AccountHarness, route: str
) -> None:
    answer = harness.ask(route, HERE, "Fleet.Admin", text="x" * (BODY_MAX_BYTES + 1))

    assert (answer["statusCode"], body_of(answer)["code"]) == (413, "body-too-large")
    method, path = route.split(" ")
    assert str(BODY_MAX_BYTES) in DESCRIBED[path][method.lower()]["responses"]["413"]["description"]


@pytest.mark.parametrize("route", list(ROUTES))
def test_a_call_that_passed_no_authorizer_is_401(harness: AccountHarness, route: str) -> None:
    event = {"requestContext": {"requestId": "request-1"}, "headers": {}, "pathParameters": {}}
    assert handler(route)(event, None)["statusCode"] == 401


def test_no_route_is_public_and_not() -> None:
    assert not PUBLIC_ROUTES.keys() & ROUTES.keys()


@pytest.mark.parametrize("route", list(PUBLIC_ROUTES))
def test_a_public_route_answers_who_shows_nothing_and_the_authorizer_lets_nobody_through_to_it(
    harness: AccountHarness, route: str
) -> None:
    assert harness.ask(route, HERE, "")["statusCode"] == 200
    event = {"requestContext": {"requestId": "request-1"}, "headers": {}}
    assert handler(route)(event, None)["statusCode"] == 200
    assert not decide(bearer(token(roles=["Fleet.Admin"])), route)["isAuthorized"]


@pytest.mark.parametrize(
    ("route", "held", "answer"),
    [
        ("GET /devices/{device}", f"Fleet.Reader:{THERE}", {"statusCode": 200, "body": "{}"}),
        ("GET /devices/{device}", f"Fleet.Reader:{THERE}", {"statusCode": 404, "body": '{"code": "x"}'}),
        ("GET /devices/{device}", f"Fleet.Reader:{HERE}", {"statusCode": 403, "body": '{"code": "x"}'}),
        ("GET /devices/{device}", "Fleet.Reader", {"statusCode": 404, "body": '{"code": "x"}'}),
        ("GET /devices/{device}", "", {"statusCode": 403, "body": '{"code": "group-not-allowed"}'}),
        ("GET /devices", f"Fleet.Reader:{HERE}", {"statusCode": 200, "body": '["line-3", "line-4"]'}),
        ("GET /devices", f"Fleet.Reader:{HERE}", {"statusCode": 200, "body": "[]"}),
        ("GET /devices", "Fleet.Reader", {"statusCode": 200, "body": '["line-3"]'}),
        ("POST /deployments", "Fleet.Operator", {"statusCode": 201, "body": "{}"}),
        ("POST /deployments", f"Fleet.Admin:{THERE}", {"statusCode": 422, "body": '{"code": "x"}'}),
        ("POST /deployments", "Fleet.Admin", {"statusCode": 500, "body": '{"code": "x"}'}),
    ],
)
def test_the_matrix_tells_a_handler_that_forgot(route: str, held: str, answer: dict[str, Any]) -> None:
    assert complaint(route, held, answer)


def test_the_documentation_is_the_table() -> None:
    lines = [
        "| route | role | a role scoped to a group reaches |",
        "|---|---|---|",
        *(f"| `{key}` | {route.role.canonical} | {route.reach.value} |" for key, route in ROUTES.items()),
        *(f"| `{key}` | none: it is public | everybody |" for key in PUBLIC_ROUTES),
    ]
    table = "\n".join(lines)
    assert table in DOCUMENT.read_text("utf-8"), f"docs/access.md should have:\n{table}"
