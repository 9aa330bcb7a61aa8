"""The audit recorder: which calls are audited, and the entry that is made of one.

Every call that may change something is audited, however it ended, and every call that a handler refuses.
(Calls that the gateway or the authorizer refuses are in the API's access log.)
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cloud.auth.permissions import Caller
from cloud.auth.routes import ROUTES
from cloud.domain.audit_chain import CallOutcome, Event
from cloud.http import gateway_events
from cloud.telemetry.logs import log_event
from cloud.telemetry.metrics import Metric, count
from cloud.wiring.audit import audit

log = logging.getLogger(__name__)

AuditSink = Callable[[Event], object]
REASON_MAX, NAME_MAX = 256, 160  # characters
_REFUSED = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class CallResult:
    """The result of a call: its status, a problem's code, and what it changed."""

    status: int
    code: str | None = None
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)


def is_audited(route: str, status: int) -> bool:
    """Whether a call of ``route`` that ended with ``status`` belongs into the audit."""
    return not route.startswith("GET ") or status in _REFUSED


def entry(
    route: str,
    event: Mapping[str, Any],
    caller: Caller | None,
    ended: CallResult,
    *,
    request_id: str,
    now: float,
) -> Event:
    """Return what is to be remembered of a call.

    Its target is what the caller named in path and body, valid or not, so that a refusal has one too.
    """
    outcome: CallOutcome = (
        "succeeded" if ended.status < 400 else "failed" if ended.status >= 500 else "refused"
    )
    context = _mapping(event.get("requestContext"))
    body = _body(event)
    target = {name: _text(value, NAME_MAX) for name, value in gateway_events.raw_path_of(event).items()}
    if ROUTES[route].names_group:
        target["group"] = _text(_at(body, ROUTES[route].names_group), NAME_MAX)
    return Event(
        at=datetime.fromtimestamp(now, UTC),
        request_id=request_id,
        caller={} if caller is None else _who(caller),
        operation=ROUTES[route].operation,
        target={name: value for name, value in target.items() if value},
        outcome=outcome,
        status=ended.status,
        code=ended.code,
        reason=_text(_at(body, ("reason",)), REASON_MAX),
        before=_plain(ended.before),
        after=_plain(ended.after),
        source_ip=str(_mapping(context.get("http")).get("sourceIp") or "") or None,
    )


def keep(event: Event) -> None:
    """Put an entry into the audit of this stack; what cannot be put there is in the log, and counted.

    The call it is of is over: failing it now would only make its caller do the same again.
    """
    try:
        audit().append(event)
    except Exception as error:  # noqa: BLE001 - whatever it was, the entry must not be lost with it
        entry = json.dumps(event.facts(), sort_keys=True)
        log_event(log, "audit entry not kept", level=logging.ERROR, error=error, entry=entry)
        count(Metric.AUDIT_ENTRIES_NOT_KEPT)


def _who(caller: Caller) -> dict[str, object]:
    told = {
        "issuer": caller.issuer,
        "subject": caller.subject,
        "kind": caller.kind,
        "application": caller.application,
        "roles": list(caller.roles),
        "token_id": caller.token_id,
    }
    return {name: value for name, value in told.items() if value}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _body(event: Mapping[str, Any]) -> object:
    """Return a body that may be anything; None where it is no JSON that we take."""
    try:
        return json.loads(gateway_events.body_of(event))
    except (gateway_events.Problem, ValueError, RecursionError):
        return None


def _at(value: object, names: Sequence[str]) -> object:
    for name in names:
        value = _mapping(value).get(name)
    return value


def _text(value: object, most: int) -> str | None:
    """Return a text that can be kept: at most ``most`` characters, each of which UTF-8 has."""
    return value.encode(errors="replace").decode()[:most] if isinstance(value, str) else None


def _plain(facts: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = json.loads(json.dumps(dict(facts), default=str))
    return found
