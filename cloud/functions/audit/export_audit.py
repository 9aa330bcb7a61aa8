"""``GET /audit/export``: one day's entries as JSON lines, oldest first, hashes included."""

import json

from cloud.clock import Clock, utc_now
from cloud.http.audit_pages import AtPosition, Day, day_of
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.query import Query
from cloud.tables.audit import Audit
from cloud.wiring.audit import audit

MEDIA_TYPE = "application/x-ndjson"
#: Lambda's answer is at most 6 MB (AWS Lambda quotas), an entry seldom more than 1 KB.
LINES_MAX = 2_000
_BYTES_MAX = 4_000_000


class ExportQuery(Query):
    """Query of the export."""

    day: Day = None
    cursor: AtPosition = None


def export_audit(request: Request, *, audit: Audit, clock: Clock) -> Response:
    """Answer with the lines; where the day goes on, a Link header (rel="next") says how to ask for the rest.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 403 ``group-not-allowed``.
    """
    request.require_fleet()
    query = request.query(ExportQuery)
    day, after = day_of(query.day, clock), query.cursor or 0
    lines: list[str] = []
    size = 0
    for entry in audit.entries(day, after=after, at_most=LINES_MAX):
        lines.append(json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n")
        size, after = size + len(lines[-1].encode()), entry["sequence"]
        if size >= _BYTES_MAX:
            break
    more = len(lines) == LINES_MAX or size >= _BYTES_MAX
    headers = {"link": f'</audit/export?day={day}&cursor={after}>; rel="next"'} if more else {}
    return Response(200, headers=headers, text=(MEDIA_TYPE, "".join(lines)))


def _operation(request: Request) -> Response:
    return export_audit(request, audit=audit(), clock=utc_now)


handler = lambda_handler(_operation, route="GET /audit/export")
