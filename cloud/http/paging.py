"""Paging of lists: ``limit`` and ``cursor`` in the query, ``cursor`` in the answer. Pure."""

import base64
import binascii
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from cloud.http.gateway_events import Problem
from cloud.http.handler import Request

PAGE_DEFAULT, PAGE_MAX = 50, 100
Value = TypeVar("Value")


def limit(request: Request) -> int:
    """Return how many a page may hold.

    Raises:
        Problem: 400 ``invalid-parameter``.
    """
    text = request.query.get("limit", str(PAGE_DEFAULT))
    if not text.isascii() or not text.isdigit() or len(text) > 3 or not 1 <= int(text) <= PAGE_MAX:
        raise Problem(400, "invalid-parameter", f"limit: must be 1 to {PAGE_MAX}", field="limit")
    return int(text)


def after(request: Request, key: TypeAdapter[Value]) -> Value | None:
    """Return the ``key`` after which the page begins; None for the first page.

    Raises:
        Problem: 400 ``invalid-parameter``.
    """
    cursor = request.query.get("cursor")
    if cursor is None:
        return None
    try:
        return key.validate_python(base64.b64decode(cursor, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError):  # a pydantic.ValidationError is a ValueError
        raise Problem(400, "invalid-parameter", "cursor: not one that a page gave", field="cursor") from None


def chosen(request: Request, parameter: str, kind: TypeAdapter[Value]) -> Value | None:
    """Return a query ``parameter`` of this ``kind``; None where it is not given.

    Raises:
        Problem: 400 ``invalid-parameter``.
    """
    value = request.query.get(parameter)
    try:
        return None if value is None else kind.validate_python(value)
    except ValidationError:
        raise Problem(400, "invalid-parameter", f"{parameter}: not a valid one", field=parameter) from None


def following(key: str | None) -> str | None:
    """Return the cursor of the page after ``key``; None after the last."""
    return None if key is None else base64.urlsafe_b64encode(key.encode()).decode()
