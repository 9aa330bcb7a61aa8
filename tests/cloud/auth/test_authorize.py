"""The authorizer's answers, as API Gateway asks for them and keeps them."""

import itertools
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest

from cloud.auth.permissions import Role
from cloud.auth.routes import ROUTES
from cloud.functions.system import authorize as authorizer
from cloud.functions.system.authorize import authorize
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from tests.support.cloud.api import an_event, body_of
from tests.support.cloud.template import template
from tests.support.cloud.tokens import NOW, a_verifier, bearer, decide, token


@pytest.mark.parametrize("route", list(ROUTES))
def test_the_authorizer_lets_through_who_may_and_says_who_it_is_in_strings(route: str) -> None:
    roles = "Fleet.Admin Fleet.Operator:line-3 Other"
    assert decide(bearer(token(roles=roles)), route) == {
        "isAuthorized": True,
        "context": {
            "issuer": "https://id.test",
            "subject": "ada",
            "kind": "user",
            "application": "console",
            "token_id": "token-1",
            "roles": "Fleet.Admin Fleet.Operator:line-3",
            "exp": str(NOW + 600),
        },
    }


def test_what_the_token_does_not_say_is_not_passed_on() -> None:
    context = decide(bearer(token(azp=None, jti=None)))["context"]
    assert context.keys() == {"issuer", "subject", "kind", "roles", "exp"}


def test_the_operation_learns_what_the_authorizer_found_out() -> None:
    seen: list[Request] = []

    def operation(request: Request) -> Response:
        seen.append(request)
        return Response(200)

    event = an_event("GET /devices")
    event["requestContext"]["authorizer"]["lambda"] = decide(bearer(token(sub="c", azp="c")))["context"]
    entry = lambda_handler(operation, route="GET /devices", now=lambda: float(NOW))

    assert entry(event, None)["statusCode"] == 200
    caller = seen[0].caller
    assert (caller.issuer, caller.subject, caller.kind) == ("https://id.test", "c", "application")
    assert (caller.application, caller.token_id) == ("c", "token-1")
    assert (caller.roles, caller.expires_at) == (("Fleet.Admin",), NOW + 600)


@pytest.mark.parametrize("missing", ["issuer", "subject", "kind", "roles", "exp"])
def test_a_decision_that_does_not_say_who_it_is_about_is_none(missing: str) -> None:
    event = an_event("GET /devices")
    del event["requestContext"]["authorizer"]["lambda"][missing]
    answer = lambda_handler(lambda request: Response(200), route="GET /devices")(event, None)
    assert (answer["statusCode"], body_of(answer)["code"]) == (401, "not-authenticated")


@pytest.mark.parametrize("kind", ["", "admin", "User", None, ["user"]])
def test_a_decision_about_no_user_and_no_application_is_none(kind: object) -> None:
    event = an_event("GET /devices")
    event["requestContext"]["authorizer"]["lambda"]["kind"] = kind
    answer = lambda_handler(lambda request: Response(200), route="GET /devices")(event, None)
    assert answer["statusCode"] == 401


def test_a_refusal_is_told_with_its_request_and_route(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(authorizer, "_wired", [(a_verifier(), {})])
    event = {"routeKey": "GET /devices", "headers": {}, "requestContext": {"requestId": "request-1"}}

    with caplog.at_level(logging.INFO):
        assert authorizer.handler(event, None) == {"isAuthorized": False}

    assert caplog.messages == ['refused: code=no-token request_id=request-1 route="GET /devices"']


@pytest.mark.parametrize(
    "route", ["POST /else", "$default", "GET /devices/robot-7", "get /devices", "", "DELETE /devices"]
)
def test_a_route_that_is_not_in_the_table_is_refused(route: str) -> None:
    assert decide(bearer(token()), route) == {"isAuthorized": False}


@pytest.mark.parametrize("event", [{}, {"routeKey": 3, "headers": []}, {"routeKey": "GET /devices"}])
def test_an_event_of_another_shape_is_refused(event: dict[str, Any]) -> None:
    assert authorize(event, a_verifier(), {}) == {"isAuthorized": False}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_and_the_header_s_name_may_be_in_any_case(scheme: str) -> None:
    for name in ("authorization", "Authorization", "AUTHORIZATION"):
        assert decide({name: f"{scheme} {token()}"})["isAuthorized"] is True


def test_an_issuers_own_role_names_count_and_ours_then_do_not() -> None:
    names = {"Fleet.Deployer": "Vloot.Uitroller"}
    for roles, expected in ((["Vloot.Uitroller"], True), (["Fleet.Deployer"], False)):
        event = {"routeKey": "POST /deployments", "headers": bearer(token(roles=roles))}
        assert authorize(event, a_verifier(), names)["isAuthorized"] is expected


class Gateway:
    """API Gateway's cache of decisions: kept by the values of the identity sources, and by nothing else."""

    def __init__(self, identity_sources: Sequence[str]) -> None:
        self._sources = identity_sources
        self._kept: dict[tuple[str, ...], dict[str, Any]] = {}
        self._verifier = a_verifier()

    def decision(self, route: str, headers: Mapping[str, str]) -> dict[str, Any]:
        values = {"$context.routeKey": route}
        values |= {f"$request.header.{name.title()}": value for name, value in headers.items()}
        key = tuple(values[source] for source in self._sources)
        if key not in self._kept:
            self._kept[key] = decide(headers, route, self._verifier)
        return self._kept[key]


USERS = {
    f"{subject} {role}": bearer(token(sub=subject, roles=[role]))
    for subject, role in itertools.product(
        ("ada", "bob"), ("", *(f"{role.canonical}{of}" for role in Role for of in ("", ":line-3")))
    )
}
REQUESTS = list(itertools.product(ROUTES, USERS))


def identity_sources() -> list[str]:
    (authorizer,) = [
        resource["Properties"]
        for resource in template()["Resources"].values()
        if resource["Type"] == "AWS::ApiGatewayV2::Authorizer"
    ]
    sources: list[str] = authorizer["IdentitySource"]
    return sources


@cache
def fresh(route: str, user: str) -> dict[str, Any]:
    return decide(USERS[user], route)


def confused(gateway: Gateway, requests: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The requests that a kept decision answers otherwise than a fresh one would."""
    return [
        (route, user)
        for route, user in requests
        if gateway.decision(route, USERS[user]) != fresh(route, user)
    ]


def test_no_kept_decision_is_another_routes_or_another_users() -> None:
    gateway = Gateway(identity_sources())
    assert confused(gateway, REQUESTS) == []
    assert confused(gateway, REQUESTS) == []  # now that all are kept


def test_without_the_route_or_without_the_token_in_the_key_decisions_would_be_mixed_up() -> None:
    """So the test before this one can fail."""
    for source in identity_sources():
        assert confused(Gateway([source]), REQUESTS), source


def test_the_authorizer_starts_without_boto3_and_pydantic() -> None:
    code = (
        "import sys, cloud.functions.system.authorize\n"
        "print([m for m in ('boto3', 'botocore', 'pydantic', 'urllib3') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
