"""Preconditions (RFC 9110, 13.1): the entity tags in ``If-Match`` and ``If-None-Match``. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cloud.http.gateway_events import Problem

_TAG = r'(?:W/)?"[!#-~]*"'
#: A header's value: any, or a list of entity tags.
TAGS = rf"(?:\*|{_TAG}(?:[ \t]*,[ \t]*{_TAG})*)"
_ANY = "*"


def entity_tag(revision: int) -> str:
    """Return the strong entity tag of a revision: its number, ``"7"``."""
    return f'"{revision}"'


@dataclass(frozen=True, slots=True)
class Preconditions:
    """Entity tags that the current one must be, and must not be; None where no condition was sent."""

    match: frozenset[str] | None
    none_match: frozenset[str] | None

    def hold(self, tag: str | None) -> bool:
        """Whether both hold when ``tag``, a strong one, is current; None: there is no revision yet.

        If-Match compares strongly, so a weak tag matches nothing; If-None-Match weakly (RFC 9110, 8.8.3.2).
        """
        current = set() if tag is None else {tag, _ANY}
        if self.match is not None and current.isdisjoint(self.match):
            return False
        known = self.none_match or ()
        return current.isdisjoint(each.removeprefix("W/") for each in known)


def preconditions(headers: Mapping[str, str]) -> Preconditions:
    """Return what ``headers``, their names in lower case, ask for.

    Raises:
        Problem: 400 ``invalid-precondition``.
    """
    return Preconditions(_tags(headers, "If-Match"), _tags(headers, "If-None-Match"))


def _tags(headers: Mapping[str, str], name: str) -> frozenset[str] | None:
    value = headers.get(name.lower())
    if value is None:
        return None
    if not re.fullmatch(TAGS, value):
        raise Problem(400, "invalid-precondition", f'{name}: must be * or entity tags, as "7"')
    return frozenset([_ANY] if value == _ANY else re.findall(_TAG, value))
