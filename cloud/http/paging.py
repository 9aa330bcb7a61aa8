"""Paging of lists: ``limit`` and ``cursor`` in the query, ``cursor`` in the answer. Pure."""

import base64
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from cloud.http.query import Query, saying

PAGE_DEFAULT, PAGE_MAX = 50, 100
NO_CURSOR_OF_OURS = "not one that a page gave"
Key = TypeVar("Key")


def _decoded(cursor: str) -> str:
    return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()


def _whole(digits: str) -> int:
    if not digits.isascii() or not digits.isdigit() or len(digits) > 3:
        raise ValueError(digits)
    return int(digits)


#: Where the page begins, None for the first page; how a list writes it is its own affair.
Cursor = Annotated[
    Key | None,
    saying(NO_CURSOR_OF_OURS),
    WithJsonSchema({"type": "string", "minLength": 1}),
    Field(description="The cursor of the page before this one"),
]
#: The key after which the page begins, as ``following`` writes it.
After = Cursor[Annotated[Key, BeforeValidator(_decoded)]]


class Limited(Query):
    """The parameter of every list; each adds the cursor that it gives."""

    limit: Annotated[
        int,
        Field(ge=1, le=PAGE_MAX, description="How many at most"),
        BeforeValidator(_whole),
        saying(f"must be 1 to {PAGE_MAX}"),
    ] = PAGE_DEFAULT


def following(key: str | None) -> str | None:
    """Return the cursor of the page after ``key``; None after the last."""
    return None if key is None else base64.urlsafe_b64encode(key.encode()).decode()
