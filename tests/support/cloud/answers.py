"""Every answer of an operation, held against its model, and the status, media type and codes that are stated.

Tests call operations through ``served``, and the account's real handlers through ``held``, so that each one
fails where an answer leaves ``cloud.openapi.operations``.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from cloud.aws.errors import Unavailable
from cloud.domain.idempotency import KeyReused
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.openapi.document import document
from cloud.openapi.models.answers import Problem
from cloud.openapi.operations import OPERATIONS, Operation

Entry = Callable[[dict[str, Any], object], dict[str, Any]]

#: The codes that any operation may answer, as the framing does.
_OF_ALL: Mapping[int, frozenset[str]] = {
    400: frozenset({"invalid-parameter", "unknown-parameter", "invalid-body"}),
    401: frozenset({"not-authenticated", "token-expired"}),
    403: frozenset({"role-missing", "group-not-allowed"}),
    413: frozenset({"body-too-large"}),
    500: frozenset({"internal-error"}),
    503: frozenset({Unavailable.code}),
}


def served(operation: Callable[[Request], Response], *, route: str, **options: Any) -> Entry:
    """The Lambda's entry of ``operation``, each of whose answers is held."""
    return held(lambda_handler(operation, route=route, **options), route)


def held(entry: Entry, route: str) -> Entry:
    """``entry``, which serves ``route``, with each of its answers held."""

    def answered(event: dict[str, Any], context: object) -> dict[str, Any]:
        answer = entry(event, context)
        hold(route, answer)
        return answer

    return answered


def hold(route: str, answer: Mapping[str, Any]) -> None:
    """Fail where ``answer`` is none that the operation of ``route`` states.

    Raises:
        AssertionError: its status, media type, headers or code is another.
        pydantic.ValidationError: its body is not its model, or has a member that the model has not.
    """
    operation, status = OPERATIONS[route], answer["statusCode"]
    if status >= 400:
        _hold_problem(route, operation, answer)
    elif status == 304:
        assert operation.cached, f"{route}: 304 is not stated"
        assert "body" not in answer, f"{route}: 304 has no body (RFC 9110, 15.4.5)"
    else:
        assert status == operation.status, f"{route}: {status} is not {operation.status}"
        assert ("location" in answer["headers"]) is operation.location, f"{route}: Location"
        _hold_success(route, operation, answer)


def _hold_success(route: str, operation: Operation, answer: Mapping[str, Any]) -> None:
    kind = answer["headers"].get("content-type")
    if operation.response is not None:
        assert kind == operation.media_type, f"{route}: {kind} is not {operation.media_type}"
        operation.response.model_validate_json(answer["body"], strict=True, extra="forbid")
    elif operation.media_type != "application/json":
        assert kind == operation.media_type, f"{route}: {kind} is not {operation.media_type}"
    else:
        assert "body" not in answer, f"{route}: no body is stated"


def _hold_problem(route: str, operation: Operation, answer: Mapping[str, Any]) -> None:
    assert answer["headers"]["content-type"] == "application/problem+json", route
    # It may have members of its own (RFC 9457, 3.2).
    problem = Problem.model_validate_json(answer["body"], strict=True)
    assert problem.status == answer["statusCode"], route
    assert str(problem.status) in _described(route), f"{route}: {problem.status} is not described"
    stated = _codes(route, operation, problem.status)
    assert problem.code in stated, f"{route}: {problem.status} {problem.code} is none of {sorted(stated)}"


def _codes(route: str, operation: Operation, status: int) -> set[str]:
    """The codes that an answer with ``status`` may have: the operation's own, and the framing's."""
    codes = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", operation.problems.get(status, "")))
    codes |= _OF_ALL.get(status, frozenset())
    if operation.request is not None and status in (400, 422):
        codes.add("invalid-field")
    if route.startswith("POST "):
        codes |= {400: {"invalid-idempotency-key"}, 422: {KeyReused.code}}.get(status, set())
    if status == 400 and (operation.conditional or operation.cached):
        codes.add("invalid-precondition")
    return codes


@cache
def _described(route: str) -> frozenset[str]:
    method, path = route.split(" ")
    return frozenset(_paths()[path][method.lower()]["responses"])


@cache
def _paths() -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"]
    return found
