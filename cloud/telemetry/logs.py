"""Structured logs: one message per line, its facts as members of the JSON object.

On AWS the Lambda runtime writes a record as one JSON object, its ``extra`` included (the functions'
``LoggingConfig``); as text the same facts follow the message. Never a payload, an env value or a token.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Fact = str | float | bool | None

_PLAIN = re.compile(r"[!#-~]*")
_ABOUT: ContextVar[Mapping[str, Fact] | None] = ContextVar("about", default=None)


def start_logging() -> None:
    """Let INFO through, which the Lambda runtime may not; but not boto3's lines about credentials."""
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("botocore").setLevel(logging.WARNING)


@contextmanager
def log_context(**facts: Fact) -> Iterator[None]:
    """Give ``facts`` to every line told inside: which request, which message it is all about."""
    before = _ABOUT.set({**(_ABOUT.get() or {}), **facts})
    try:
        yield
    finally:
        _ABOUT.reset(before)


def log_event(
    log: logging.Logger,
    message: str,
    *,
    level: int = logging.INFO,
    error: BaseException | None = None,
    **facts: Fact,
) -> None:
    """Log ``message`` with those of ``facts`` that are not None, and the stack of ``error``.

    A fact is called ``device``, ``command``, ``deployment``, ``group``, ``code``, … wherever it is told,
    so that one query finds a device's lines in all functions.
    """
    # Its own facts come first in the line, and win.
    known = {
        name: fact for name, fact in {**facts, **(_ABOUT.get() or {}), **facts}.items() if fact is not None
    }
    line = " ".join(f"{name}={_shown(fact)}" for name, fact in known.items())
    log.log(level, "%s: %s", message, line, extra=known, exc_info=error, stacklevel=2)


def _shown(fact: str | float) -> str:
    text = str(fact)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
