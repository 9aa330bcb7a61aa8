"""Redaction: removes an application's secret values from its container's output. Pure."""

import contextlib
import json
from collections.abc import Iterable, Iterator

REDACTED = "[redacted]"
#: Shorter values are too common as parts of words to be blanked, and too short to be secrets.
SECRET_LENGTH = 4
LINE_LENGTH = 256


def redacted(lines: Iterable[str], secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the lines without the secrets, each cut to LINE_LENGTH characters."""
    return tuple(redact(lines, secrets, LINE_LENGTH))


def redact(lines: Iterable[str], secrets: Iterable[str], length: int) -> Iterator[str]:
    """Yield the lines without the secrets, nor any line of a secret, each cut to ``length`` characters.

    A secret of several lines (a key) is hidden line by line, and of one that is JSON every text in it.
    The longest secret is taken first, so that none is left in part because another is in it.
    """
    parts = {_printable(part).strip() for secret in secrets for part in _parts(secret)}
    hidden = sorted((part for part in parts if len(part) >= SECRET_LENGTH), key=len, reverse=True)
    for line in lines:
        said = _printable(line)  # first: what cannot be seen must not keep a secret apart until then
        for secret in hidden:
            said = said.replace(secret, REDACTED)
        yield said[:length]


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable() or each == "\t")


def _parts(secret: str) -> Iterator[str]:
    yield secret
    yield from secret.splitlines()
    if secret.lstrip().startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):  # it may only look like JSON
            yield from _texts(json.loads(secret))


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from _texts(each)
        case list():
            for each in value:
                yield from _texts(each)
