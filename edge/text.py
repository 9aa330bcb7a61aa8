"""Text clipping for messages of bounded size. Pure."""

import json
from collections.abc import Sequence


def clip(text: str, max_bytes: int) -> str:
    """Return ``text``, its middle an ellipsis where its JSON form would take more than ``max_bytes``.

    Errors say at their beginning what failed, and at their end why. What is no Unicode, as the stray bytes of
    a path, becomes a question mark: no message of the wire takes it.
    """
    text = text.encode("utf-8", "replace").decode()
    if _size(text) <= max_bytes:
        return text
    low, high = 0, min(len(text), max_bytes)
    while low < high:
        middle = (low + high + 1) // 2
        if _size(_ends(text, middle)) <= max_bytes:
            low = middle
        else:
            high = middle - 1
    return _ends(text, low)


def _ends(text: str, kept: int) -> str:
    """Return ``kept`` characters of both ends together."""
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def tail(lines: Sequence[str], max_bytes: int) -> list[str]:
    """Return the last lines that fit into ``max_bytes`` as a JSON list."""
    room, kept = max_bytes - 2, 0
    for line in reversed(lines):
        room -= _size(line) + 3  # its quotes, a comma
        if room < 0:
            break
        kept += 1
    return list(lines[len(lines) - kept :])


def _size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) - 2
