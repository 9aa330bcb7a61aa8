"""Texts of bounded size on the wire. Pure."""

import json


def clip(text: str, max_bytes: int) -> str:
    """Return ``text``, cut with an ellipsis where its JSON form would take more than ``max_bytes``."""
    if _size(text) <= max_bytes:
        return text
    low, high = 0, min(len(text), max_bytes)
    while low < high:
        middle = (low + high + 1) // 2
        if _size(text[:middle] + "…") <= max_bytes:
            low = middle
        else:
            high = middle - 1
    return text[:low] + "…"


def _size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) - 2
