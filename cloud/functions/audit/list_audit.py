"""``GET /audit``: one day's entries, newest first."""

from typing import Any

from pydantic import TypeAdapter

from cloud.clock import Clock, utc_now
from cloud.domain.audit_chain import CallOutcome
from cloud.http.audit_pages import DIGITS, day_of, position
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.paging import chosen, limit
from cloud.tables.audit import Audit
from cloud.wiring.audit import audit

_OUTCOME: TypeAdapter[str] = TypeAdapter(CallOutcome)
_NARROWING = ("operation", "outcome", "subject")
#: Entries of a day that a page looks at: one that narrows may be short, and its cursor goes on.
_LOOKED_AT = 500
_END = 10**DIGITS


def list_audit(request: Request, *, audit: Audit, clock: Clock) -> Response:
    """Answer with ``{day, entries, cursor}``; ``cursor`` is null at the day's first entry.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 403 ``group-not-allowed``.
    """
    request.require_fleet()
    day = day_of(request, clock)
    chosen(request, "outcome", _OUTCOME)
    wanted = {name: request.query[name] for name in _NARROWING if name in request.query}
    room, before = limit(request), position(request, _END)
    shown: list[dict[str, Any]] = []
    looked_at = 0
    for entry in audit.newest(day, before=before, at_most=_LOOKED_AT):
        looked_at, before = looked_at + 1, entry["sequence"]
        if all(_said(entry, name) == value for name, value in wanted.items()):
            shown.append(entry)
        if len(shown) == room:
            break
    more = before > 1 and (len(shown) == room or looked_at == _LOOKED_AT)
    return Response(200, {"day": day, "entries": shown, "cursor": str(before) if more else None})


def _said(entry: dict[str, Any], name: str) -> object:
    return entry["caller"].get("subject") if name == "subject" else entry.get(name)


def _operation(request: Request) -> Response:
    return list_audit(request, audit=audit(), clock=utc_now)


handler = lambda_handler(_operation, route="GET /audit")
