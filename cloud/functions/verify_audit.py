"""``GET /audit/verify``: whether one day's entries are whole and unchanged."""

import os
from collections.abc import Iterator
from typing import Any, Protocol

from cloud.audit import Head, verify
from cloud.audit_pages import day_of
from cloud.aws.clients import client
from cloud.clock import Clock, utc_now
from cloud.gateway import Response
from cloud.http import Request, lambda_handler
from cloud.tables.audit import Audit


class ReadsDays(Protocol):
    """The part of the audit table that this needs."""

    def head(self, day: str) -> Head: ...
    def entries(
        self, day: str, *, after: int = 0, at_most: int | None = None
    ) -> Iterator[dict[str, Any]]: ...


def verify_audit(request: Request, *, audit: ReadsDays, clock: Clock) -> Response:
    """Answer with ``{day, intact, entries, head}``, and where and why the chain breaks if it does.

    Entries that are written meanwhile are beyond the head that was read, and are not looked at.
    """
    request.require_fleet()
    day = day_of(request, clock)
    head = audit.head(day)
    verdict = verify(audit.entries(day, at_most=head.count), head)
    body: dict[str, object] = {
        "day": day,
        "intact": verdict.broken_at is None,
        "entries": verdict.entries,
        "head": verdict.head,
    }
    if verdict.broken_at is not None:
        body |= {"broken_at": verdict.broken_at, "reason": verdict.reason}
    return Response(200, body)


def _operation(request: Request) -> Response:
    return verify_audit(request, audit=Audit(client("dynamodb"), os.environ["AUDIT_TABLE"]), clock=utc_now)


handler = lambda_handler(_operation, route="GET /audit/verify")
