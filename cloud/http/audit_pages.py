"""Pages of the audit: the day that is asked for, and a place in it. Pure."""

import re
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainValidator

from cloud.clock import Clock
from cloud.domain.audit_chain import Head, parse_day
from cloud.http.paging import Cursor

DIGITS = 12  # of a place in a day
_LINK = re.compile(rf"([0-9]{{1,{DIGITS}}})-([0-9a-f]{{64}})")


def _position(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS:
        raise ValueError(text)
    return int(text)


def _link(text: str) -> Head:
    found = _LINK.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return Head(int(found[1]), found[2])


#: The parameter of all that is about a day.
Day = Annotated[date | None, BeforeValidator(parse_day), Field(description="A day in UTC, today by default")]
#: The sequence number of the entry that the page before ended with.
AtPosition = Cursor[Annotated[int, BeforeValidator(_position)]]
#: The link of the day's chain that the page before got to, as ``cursor_of`` writes it.
AtLink = Cursor[Annotated[Head, PlainValidator(_link)]]


def day_of(asked: date | None, clock: Clock) -> str:
    """Return the day that is asked for, today (UTC) where none is."""
    return (asked or clock().date()).isoformat()


def cursor_of(link: Head) -> str:
    """Return the cursor of the page that goes on from ``link``."""
    return f"{link.count}-{link.hash}"
