"""The HTTP API's REQUEST authorizer (simple responses): whether this token may reach this route at all.

The operation checks scope and the token's expiry again. Imports no boto3 and no pydantic: it runs
before everything else, often cold.
"""

import logging
from collections.abc import Mapping
from typing import Any

from cloud.auth.issuers import parse_issuers, parse_role_names
from cloud.auth.jwks import fetch
from cloud.auth.permissions import canonical_roles, scope
from cloud.auth.routes import ROUTES
from cloud.auth.tokens import Untrusted, Verifier
from cloud.environment import ENVIRONMENT
from cloud.telemetry.logs import log_context, log_event, start_logging
from cloud.telemetry.metrics import Metric, count

log = logging.getLogger(__name__)

_REFUSED: Mapping[str, Any] = {"isAuthorized": False}
#: API Gateway limits the size of an authorizer's answer; no caller needs this many scopes.
_ROLES_MAX_BYTES = 4096


def authorize(event: Mapping[str, Any], verifier: Verifier, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the simple response; its context says who calls, in strings, for handlers and the audit.

    Always ``issuer``, ``subject``, ``kind``, ``roles`` (canonical, parted by spaces) and ``exp``; where
    the token says so, ``application`` and ``token_id``. ``names`` maps our role names to the issuers'.
    A refusal says nothing to the caller; the log has its code.

    Raises:
        KeysUnavailable: the token cannot be checked now. The gateway answers 500, which it does not cache;
            a refusal would be cached, and outlast the issuer's outage.
    """
    route = ROUTES.get(str(event.get("routeKey")))
    if route is None:
        return _refuse("route-unknown")
    token = _bearer(event.get("headers"))
    if token is None:
        return _refuse("no-token")
    try:
        claims = verifier.verify(token)
    except Untrusted as error:
        return _refuse(error.code)
    roles = canonical_roles(claims.roles, names)
    if scope(roles, route.role) is None:
        return _refuse("role-missing")
    said = " ".join(roles)
    if len(said) > _ROLES_MAX_BYTES:
        return _refuse("too-many-roles")
    context = {
        "issuer": claims.issuer,
        "subject": claims.subject,
        "kind": claims.kind,
        "roles": said,
        "exp": str(claims.expires_at),
    }
    if claims.application:
        context["application"] = claims.application
    if claims.token_id:
        context["token_id"] = claims.token_id
    return {"isAuthorized": True, "context": context}


def _bearer(headers: object) -> str | None:
    """Return the token of the one Authorization header that there may be."""
    if not isinstance(headers, Mapping):
        return None
    presented = [value for name, value in headers.items() if name.lower() == "authorization"]
    if len(presented) != 1 or not isinstance(presented[0], str):
        return None
    scheme, _, token = presented[0].partition(" ")  # RFC 6750, 2.1; nothing before, between or after
    token = token.lstrip(" ")
    return token if scheme.lower() == "bearer" and token and " " not in token else None


def _refuse(code: str) -> dict[str, Any]:
    log_event(log, "refused", code=code)
    count(Metric.AUTHORIZER_REFUSALS, code=code)
    return dict(_REFUSED)


def _wiring() -> tuple[Verifier, Mapping[str, str]]:
    verifier = Verifier(parse_issuers(ENVIRONMENT.issuers), fetch=fetch)
    return verifier, parse_role_names(ENVIRONMENT.roles or "{}")


_wired: list[tuple[Verifier, Mapping[str, str]]] = []


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """The Lambda's entry; the verifier and its keys live as long as the process."""
    start_logging()
    if not _wired:
        _wired.append(_wiring())
    verifier, names = _wired[0]
    with log_context(request_id=_request_id(event), route=str(event.get("routeKey"))):
        return authorize(event, verifier, names)


def _request_id(event: Mapping[str, Any]) -> str | None:
    context = event.get("requestContext")
    found = context.get("requestId") if isinstance(context, Mapping) else None
    return found if isinstance(found, str) else None
