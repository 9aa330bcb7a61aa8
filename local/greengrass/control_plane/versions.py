"""Semantic versions and the requirements Greengrass accepts on them (npm's syntax). Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import total_ordering

_VERSION = re.compile(r"^(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$")
_COMPARATOR = re.compile(
    r"^(\^|~|>=|<=|==|=|>|<|)v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(-[0-9A-Za-z.-]+)?$"
)


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A semantic version, ordered as semver.org says; build metadata is dropped."""

    numbers: tuple[int, int, int]
    prerelease: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Return the version in ``text``.

        Raises:
            ValueError: not ``major.minor.patch`` with an optional pre-release and build.
        """
        match = _VERSION.match(text)
        if match is None:
            raise ValueError(f"{text!r} is not a semantic version")
        major, minor, patch = (int(match[n]) for n in (1, 2, 3))
        return cls((major, minor, patch), tuple(match[4].split(".")) if match[4] else ())

    def __lt__(self, other: "Version") -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[object, ...]:
        identifiers = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in self.prerelease)
        return (self.numbers, not self.prerelease, identifiers)


def satisfies(version: str, requirement: str) -> bool:
    """Return whether ``version`` fulfils ``requirement``: alternatives by ``||``, comparators by blanks.

    Raises:
        ValueError: the version or the requirement cannot be read.
    """
    wanted = re.sub(r"(\^|~|[<>=]=?)\s+", r"\1", requirement)
    parsed = Version.parse(version)
    return any(
        all(accepts(parsed) for accepts in [_comparator(word) for word in alternative.split()])
        for alternative in wanted.split("||")
    )


def _comparator(word: str) -> Callable[[Version], bool]:
    match = _COMPARATOR.match(word)
    if match is None:
        raise ValueError(f"{word!r} is not a version requirement")
    operator = match[1]
    given = [int(part) for part in (match[2], match[3], match[4]) if part and part.isdigit()]
    low = Version(_padded(given), tuple(match[5][1:].split(".")) if match[5] else ())
    if not given:
        return lambda _: True
    match operator:
        case ">=":
            return lambda version: version >= low
        case "<":
            return lambda version: version < low
        case ">":
            return lambda version: version > low if len(given) == 3 else version >= _after(given, len(given))
        case "<=":
            return lambda version: version <= low if len(given) == 3 else version < _after(given, len(given))
        case "^":
            first = next((i for i, number in enumerate(given) if number), len(given) - 1)
            return lambda version: low <= version < _after(given, first + 1)
        case "~":
            return lambda version: low <= version < _after(given, min(2, len(given)))
        case _ if len(given) < 3:
            return lambda version: low <= version < _after(given, len(given))
        case _:
            return lambda version: version == low


def _padded(numbers: list[int]) -> tuple[int, int, int]:
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return major, minor, patch


def _after(given: list[int], kept: int) -> Version:
    """Return the least version above every one that begins with the first ``kept`` numbers."""
    return Version(_padded([*given[: kept - 1], given[kept - 1] + 1]), ("0",))
