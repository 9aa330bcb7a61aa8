"""Pages of the audit: the day that a request asks for, and a place in it. Pure."""

import re

from cloud.clock import Clock
from cloud.domain.audit_chain import NOTHING_YET, Head, parse_day
from cloud.http.gateway_events import Problem
from cloud.http.handler import Request

DIGITS = 12  # of a place in a day
_LINK = re.compile(rf"([0-9]{{1,{DIGITS}}})-([0-9a-f]{{64}})")


def day_of(request: Request, clock: Clock) -> str:
    """Return the day that is asked for, today (UTC) where none is.

    Raises:
        Problem: 400 ``invalid-parameter``.
    """
    text = request.query.get("day")
    if text is None:
        return clock().date().isoformat()
    try:
        return parse_day(text).isoformat()
    except ValueError as error:
        raise Problem(400, "invalid-parameter", f"day: {error}", field="day") from None


def position(request: Request, first: int) -> int:
    """Return the place in the day where the page begins, ``first`` for the first page.

    Raises:
        Problem: 400 ``invalid-parameter``.
    """
    text = request.query.get("cursor")
    if text is None:
        return first
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS:
        raise Problem(400, "invalid-parameter", "cursor: not one that a page gave", field="cursor")
    return int(text)


def link_of(request: Request) -> Head:
    """Return the link of the day's chain that the page before this one got to.

    Raises:
        Problem: 400 ``invalid-parameter``.
    """
    text = request.query.get("cursor")
    if text is None:
        return NOTHING_YET
    found = _LINK.fullmatch(text)
    if found is None:
        raise Problem(400, "invalid-parameter", "cursor: not one that a page gave", field="cursor")
    return Head(int(found[1]), found[2])


def cursor_of(link: Head) -> str:
    """Return the cursor of the page that goes on from ``link``."""
    return f"{link.count}-{link.hash}"
