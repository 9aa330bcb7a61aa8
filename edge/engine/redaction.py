"""Keeping what a container was told in confidence out of what it says. Pure."""

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

    The longest secret is taken first, so that none is left in part because another is in it.
    """
    parts = {part.strip() for each in secrets for part in (each, *each.splitlines())}
    hidden = sorted((each for each in parts if len(each) >= SECRET_LENGTH), key=len, reverse=True)
    for line in lines:
        for secret in hidden:
            line = line.replace(secret, REDACTED)
        yield "".join(each for each in line if each.isprintable() or each == "\t")[:length]
