"""The handler that all routes share: payload 2.0 events in, JSON or problem documents (RFC 9457) out.

Holds no operation's logic. What a handler does not answer itself, ``lambda_handler`` turns into a
problem document with a stable ``code``; a stack or an internal name never leaves the function.
"""

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from cloud.auth import strict_json
from cloud.auth.permissions import LEEWAY_S, Caller, Role, Scope, scope
from cloud.auth.routes import ROUTES
from cloud.auth.strict_json import NotStrictJson
from cloud.aws.errors import Unavailable
from cloud.domain.idempotency import Idempotency, KeyReused
from cloud.http import audit_recorder, gateway_events
from cloud.http.gateway_events import INTERNAL, Problem, Response
from cloud.http.query import AnyQuery, Query, parse_query
from cloud.telemetry.logs import log_context, log_event, start_logging

log = logging.getLogger(__name__)

IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
_LOGGED_AS: Mapping[str, str] = {"app": "application", "reboot": "group_reboot"}  # path parameters
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Request:
    """One authorised call. ``path`` parameters are decoded and match their AWS patterns."""

    route_key: str
    path: Mapping[str, str]
    parameters: Mapping[str, str]  # of the query, as they came; ``query`` takes them
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    caller: Caller
    role: Role  # the role that this route asks for
    scope: Scope  # where the caller holds it; list operations filter by it
    function_arn: str = ""  # of the Lambda that serves this: says the account and the region

    def require_group(self, groups: Collection[str]) -> None:
        """Refuse a caller whose role does not reach anything that is in ``groups``.

        Raises:
            Problem: 403 ``group-not-allowed``, naming the role and the groups.
        """
        if not self.scope.covers(groups):
            named = ", ".join(sorted(groups)) or "no group"
            held = ", ".join(sorted(self.scope.groups or ()))
            raise Problem(
                403,
                "group-not-allowed",
                f"{self.role.canonical} is needed in {named}; the caller holds it in {held} only",
                role=self.role.canonical,
                groups=sorted(groups),
            )

    def require_fleet(self) -> None:
        """Refuse a caller whose role is scoped to groups, where what is asked for is no group's.

        Raises:
            Problem: 403 ``group-not-allowed``.
        """
        if self.scope.groups is not None:
            raise Problem(
                403,
                "group-not-allowed",
                f"{self.role.canonical} is needed for the whole fleet; the caller holds it in groups only",
                role=self.role.canonical,
            )

    def holds(self, role: Role, groups: Collection[str]) -> bool:
        """Whether the caller holds ``role``, maybe more than this route asks for, over ``groups``."""
        held = scope(self.caller.roles, role)
        return held is not None and held.covers(groups)

    def query(self, model: type[AnyQuery]) -> AnyQuery:
        """Return the query parameters as ``model``, before anything is done.

        Raises:
            Problem: 400 ``unknown-parameter`` or ``invalid-parameter``.
        """
        return parse_query(self.parameters, model)

    def parse(self, model: type[Model]) -> Model:
        """Return the body as ``model``: JSON types are taken as they are, unknown fields refused.

        Raises:
            Problem: 400 ``invalid-body`` (not JSON, a repeated name, NaN) or ``invalid-field``,
                with every wrong field by its path; 422 where only its meaning is wrong.
        """
        try:
            value = strict_json.parse(self.body)
        except NotStrictJson as error:
            raise Problem(400, "invalid-body", str(error)) from None
        try:
            return model.model_validate(value, strict=True)
        except ValidationError as error:
            # A validator's own complaint is about the meaning; all others are about the shape.
            kinds = {each["type"] for each in error.errors(include_url=False, include_input=False)}
            status = 422 if kinds == {"value_error"} else 400
            raise field_problem(status, "invalid-field", error, value) from None

    def idempotency(self) -> Idempotency | None:
        """Return what makes this call the same call again; None without an Idempotency-Key.

        Raises:
            Problem: 400 ``invalid-idempotency-key``.
        """
        key = self.headers.get("idempotency-key")
        if key is None:
            return None
        if not IDEMPOTENCY_KEY.fullmatch(key):
            raise Problem(
                400, "invalid-idempotency-key", "Idempotency-Key must be 1 to 255 visible ASCII characters"
            )
        return Idempotency(
            key=_sha256(self.caller.issuer, self.caller.subject, self.route_key, key),
            fingerprint=_sha256(json.dumps(sorted(self.path.items())), self.body.decode(errors="replace")),
        )


def location(*segments: str) -> dict[str, str]:
    """Return the Location header of a resource by its path segments."""
    return {"location": "/" + "/".join(quote(segment, safe="") for segment in segments)}


_UNAVAILABLE = Problem(503, Unavailable.code, "a service behind this one did not answer; try again")
_KEY_REUSED = Problem(422, KeyReused.code, "this Idempotency-Key was used before with a different request")


def lambda_handler(
    operation: Callable[[Request], Response],
    *,
    route: str,
    now: Callable[[], float] = time.time,
    audit: audit_recorder.AuditSink = audit_recorder.keep,
) -> Callable[[dict[str, Any], object], dict[str, Any]]:
    """Return the Lambda entry of ``operation``, which serves the route key ``route`` of ``ROUTES``.

    It authorises the caller again (a cached authorizer decision outlives the token), checks sizes, path
    and query parameters, logs one line per request and its id on every other, audits what may have changed
    something and every refusal of a caller, and maps what is raised to problem documents.
    """
    role = ROUTES[route].role
    start_logging()

    def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
        request_id = gateway_events.request_id_of(event, context)
        with log_context(request_id=request_id):
            return handled(event, context, request_id)

    def handled(event: dict[str, Any], context: object, request_id: str) -> dict[str, Any]:
        began = time.monotonic()
        request: Request | None = None
        try:
            request = _request(event, context, route, role, now())
            response = operation(request)
            answer = gateway_events.answer(response, request_id)
            ended = audit_recorder.CallResult(response.status, None, response.before, response.after)
        except Exception as error:  # noqa: BLE001 - the one boundary: the caller gets an answer, the log the stack
            problem = _problem_of(error, route)
            answer = gateway_events.problem_answer(problem, request_id)
            ended = audit_recorder.CallResult(problem.status, problem.code)
        caller = gateway_events.caller_of(event)
        with log_context(**({} if request is None else _facts_of(request.path))):
            log_event(
                log,
                "request",
                operation=ROUTES[route].operation,
                route=route,
                status=ended.status,
                code=ended.code,
                duration_ms=round((time.monotonic() - began) * 1000),
                subject=None if caller is None else caller.subject,
            )
        if audit_recorder.is_audited(route, ended.status):
            audit(audit_recorder.entry(route, event, caller, ended, request_id=request_id, now=now()))
        return answer

    return handler


def _facts_of(path: Mapping[str, str]) -> dict[str, str]:
    """Return the path's parameters by the names that the log has for them."""
    return {_LOGGED_AS.get(name, name): value for name, value in path.items()}


def _problem_of(error: Exception, route: str) -> Problem:
    match error:
        case Problem():
            return error
        case KeyReused():
            return _KEY_REUSED
        case Unavailable():
            log_event(log, "service unavailable", level=logging.WARNING, error=error, route=route)
            return _UNAVAILABLE
        case _:
            log_event(log, "request failed", level=logging.ERROR, error=error, route=route)
            return INTERNAL


def field_problem(status: int, code: str, error: ValidationError, value: object) -> Problem:
    """Return the problem that names every wrong field of ``value`` by its path, ``a.b[0].c``."""
    errors = [
        {"field": field_path(e["loc"], value), "message": e["msg"], "type": e["type"]}
        for e in error.errors(include_url=False, include_context=False, include_input=False)[:20]
    ]
    first = errors[0]
    message = "unknown field" if first["type"] == "extra_forbidden" else first["message"]
    return Problem(status, code, f"{first['field'] or 'body'}: {message}", errors=errors)


def field_path(loc: tuple[int | str, ...], value: object) -> str:
    """Return the path of ``loc`` inside ``value``; pydantic's union tags are not part of it."""
    path = ""
    for position, step in enumerate(loc):
        if isinstance(step, int):
            path += f"[{step}]"
            value = value[step] if isinstance(value, list) and step < len(value) else None
        elif (isinstance(value, dict) and step in value) or position == len(loc) - 1:
            path += f".{step}" if path else step
            value = value.get(step) if isinstance(value, dict) else None
    return path[:200]


def _request(event: Mapping[str, Any], context: object, route: str, role: Role, now: float) -> Request:
    caller = gateway_events.caller_of(event)
    if caller is None:
        raise Problem(401, "not-authenticated", "the request carries no authorised caller")
    if caller.expires_at <= now - LEEWAY_S:
        raise Problem(401, "token-expired", "the token has expired")
    held = scope(caller.roles, role)
    if held is None:
        raise Problem(403, "role-missing", f"{role.canonical} is needed", role=role.canonical)
    parameters = dict(event.get("queryStringParameters") or {})
    if parameters and not ROUTES[route].takes_query:
        parse_query(parameters, Query)
    return Request(
        route_key=route,
        path=gateway_events.path_of(event),
        parameters=parameters,
        headers=gateway_events.headers_of(event),
        body=gateway_events.body_of(event),
        caller=caller,
        role=role,
        scope=held,
        function_arn=getattr(context, "invoked_function_arn", ""),
    )


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
