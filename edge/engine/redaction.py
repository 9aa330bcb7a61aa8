"""Keeping what a container was told in confidence out of what it says. Pure."""

from collections.abc import Iterable

REDACTED = "[redacted]"
#: Shorter values are too common as parts of words to be blanked, and too short to be secrets.
SECRET_LENGTH = 4
LINE_LENGTH = 256


def redacted(lines: Iterable[str], secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the lines without the secrets, each cut to LINE_LENGTH characters.

    The longest secret is taken first, so that none is left in part because another is in it.
    """
    hidden = sorted({each for each in secrets if len(each) >= SECRET_LENGTH}, key=len, reverse=True)
    clean = []
    for line in lines:
        for secret in hidden:
            line = line.replace(secret, REDACTED)
        clean.append("".join(each for each in line if each.isprintable() or each == "\t")[:LINE_LENGTH])
    return tuple(clean)
