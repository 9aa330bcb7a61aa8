"""The recipe's default configuration, read from its text. Pure, standard library only.

It reads the block style that our recipe is written in: maps, lists, and values that are JSON as well. So the
build, which has no YAML reader, can put the defaults into the artifact and look into the accessControl lists.
"""

import json
import re
from typing import Any

_START = "  DefaultConfiguration:"
_PAIR = re.compile(r'^ *("[^"]*"|[\w.]+):(?: +(\S.*))?$')
_ITEM = re.compile(r"^ *- +(\S.*)$")


class DefaultsUnreadable(Exception):
    """A line of the default configuration is not written as this module reads it; the text has the line."""


def defaults(text: str) -> dict[str, Any]:
    """Return ``ComponentConfiguration.DefaultConfiguration`` of a recipe.

    Raises:
        DefaultsUnreadable
    """
    lines = text.splitlines()
    if _START not in lines:
        raise DefaultsUnreadable("there is no DefaultConfiguration")
    inside: list[str] = []
    for line in lines[lines.index(_START) + 1 :]:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if _indent(line) <= _indent(_START):
            break
        inside.append(line)
    return _map(inside)


def _map(lines: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line, below in _blocks(lines):
        pair = _PAIR.match(line)
        if pair is None or (pair[2] is None) == (not below):
            raise DefaultsUnreadable(line.strip())
        if pair[2] is not None:
            value = _json(pair[2])
        elif _ITEM.match(below[0]):
            value = _list(below)
        else:
            value = _map(below)
        found[pair[1].strip('"')] = value
    return found


def _list(lines: list[str]) -> list[Any]:
    items = [(_ITEM.match(line), below, line) for line, below in _blocks(lines)]
    for item, below, line in items:
        if item is None or below:
            raise DefaultsUnreadable(line.strip())
    return [_json(item[1]) for item, _, _ in items if item is not None]


def _blocks(lines: list[str]) -> list[tuple[str, list[str]]]:
    """Return each line of the outermost level with the lines that are deeper."""
    blocks: list[tuple[str, list[str]]] = []
    for line in lines:
        if _indent(line) <= _indent(lines[0]):
            blocks.append((line, []))
        else:
            blocks[-1][1].append(line)
    return blocks


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise DefaultsUnreadable(f"{text}: not written as JSON") from None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
