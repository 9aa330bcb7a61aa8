"""``GET /audit``: one day's entries, newest first."""

from typing import Annotated, Any

from pydantic import Field

from cloud.clock import Clock, utc_now
from cloud.domain.audit_chain import CallOutcome
from cloud.http.audit_pages import DIGITS, AtPosition, Day, day_of
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.paging import Limited
from cloud.tables.audit import Audit
from cloud.wiring.audit import audit

_NARROWING = ("operation", "outcome", "subject")
#: Entries of a day that a page looks at: one that narrows may be short, and its cursor goes on.
_LOOKED_AT = 500
_END = 10**DIGITS


class AuditQuery(Limited):
    """Query of the audit's list."""

    cursor: AtPosition = None
    day: Day = None
    operation: Annotated[str | None, Field(description="Only this operation")] = None
    outcome: Annotated[CallOutcome | None, Field(description="Only this outcome")] = None
    subject: Annotated[str | None, Field(description="Only this caller")] = None


def list_audit(request: Request, *, audit: Audit, clock: Clock) -> Response:
    """Answer with ``{day, entries, cursor}``; ``cursor`` is null at the day's first entry.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 403 ``group-not-allowed``.
    """
    request.require_fleet()
    query = request.query(AuditQuery)
    day = day_of(query.day, clock)
    wanted = {name: value for name in _NARROWING if (value := getattr(query, name)) is not None}
    before = _END if query.cursor is None else query.cursor
    shown: list[dict[str, Any]] = []
    looked_at = 0
    for entry in audit.newest(day, before=before, at_most=_LOOKED_AT):
        looked_at, before = looked_at + 1, entry["sequence"]
        if all(_said(entry, name) == value for name, value in wanted.items()):
            shown.append(entry)
        if len(shown) == query.limit:
            break
    more = before > 1 and (len(shown) == query.limit or looked_at == _LOOKED_AT)
    return Response(200, {"day": day, "entries": shown, "cursor": str(before) if more else None})


def _said(entry: dict[str, Any], name: str) -> object:
    return entry["caller"].get("subject") if name == "subject" else entry.get(name)


def _operation(request: Request) -> Response:
    return list_audit(request, audit=audit(), clock=utc_now)


handler = lambda_handler(_operation, route="GET /audit")
