"""Recipe variables: ``{work:path}``, ``{configuration:/pointer}`` and the like, in either dialect. Pure."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from local.greengrass.nucleus.dialect import Dialect

Resolve = Callable[[str], str | None]

_CLASSIC = re.compile(r"\{([^\s{}\"'$]+)\}")


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A text with its variables replaced; ``failed_at`` names the one that Lite stumbled over."""

    text: str
    failed_at: str | None = None


def interpolate(text: str, resolve: Resolve, dialect: Dialect) -> Interpolated:
    """Replace what ``resolve`` knows.

    Classic leaves an unknown ``{…}`` alone. Lite takes every ``{`` for a variable, and where one cannot
    be resolved only what stands before it remains, which it then runs.
    """
    if dialect.kind == "classic":
        return Interpolated(_CLASSIC.sub(lambda found: _or(resolve(found[1]), found[0]), text))
    done: list[str] = []
    rest = text
    while (at := rest.find("{")) >= 0:
        done.append(rest[:at])
        name, closed, after = rest[at + 1 :].partition("}")
        value = resolve(name) if closed else None
        if value is None:
            return Interpolated("".join(done), failed_at=name.split("\n")[0][:40])
        done.append(value)
        rest = after
    return Interpolated("".join(done) + rest)


def _or(value: str | None, otherwise: str) -> str:
    return otherwise if value is None else value


def as_text(value: object) -> str:
    """Return a configuration value as a script sees it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def pointer(text: str) -> list[str]:
    """Return the keys of a JSON pointer (RFC 6901)."""
    return [key.replace("~1", "/").replace("~0", "~") for key in text.strip("/").split("/") if key]
