"""``GET /audit/verify``: whether one day's entries are whole and unchanged."""

from itertools import takewhile

from cloud.clock import Clock, utc_now
from cloud.domain.audit_chain import NOTHING_YET, Head, verify
from cloud.http.audit_pages import AtLink, Day, cursor_of, day_of
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.query import Query
from cloud.tables.audit import Audit
from cloud.wiring.audit import audit

#: Entries of one call, whose answer must be there within 30 s (API Gateway quotas, HTTP API).
ENTRIES_MAX = 2_000


class VerifyQuery(Query):
    """Query of the verification."""

    day: Day = None
    cursor: AtLink = None


def verify_audit(request: Request, *, audit: Audit, clock: Clock) -> Response:
    """Answer with ``{day, intact, entries, head, cursor}``, and where and why the chain breaks if it does.

    ``entries`` and ``head`` are how far the chain was followed, from the day's first entry on; ``cursor``
    goes on from there, and is null where nothing is left or the chain broke. Entries that are written
    meanwhile are beyond the day's head that was read, and are not looked at.

    Raises:
        Problem: 400 for a parameter that is wrong, 403 ``group-not-allowed``.
    """
    request.require_fleet()
    query = request.query(VerifyQuery)
    day, after = day_of(query.day, clock), query.cursor or NOTHING_YET
    head = audit.head(day)
    found = audit.entries(day, after=after.count, at_most=ENTRIES_MAX)
    known = takewhile(lambda entry: entry["sequence"] <= head.count, found)
    verdict = verify(known, head, after=after, at_most=ENTRIES_MAX)
    reached = Head(verdict.entries, verdict.head)
    more = verdict.broken_at is None and reached.count < head.count
    body: dict[str, object] = {
        "day": day,
        "intact": verdict.broken_at is None,
        "entries": verdict.entries,
        "head": verdict.head,
        "cursor": cursor_of(reached) if more else None,
    }
    if verdict.broken_at is not None:
        body |= {"broken_at": verdict.broken_at, "reason": verdict.reason}
    return Response(200, body)


def _operation(request: Request) -> Response:
    return verify_audit(request, audit=audit(), clock=utc_now)


handler = lambda_handler(_operation, route="GET /audit/verify")
