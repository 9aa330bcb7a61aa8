"""Authorisation: roles and groups. Pure; never reads a token, a clock or the environment.

Imports the standard library only, because the authorizer's cold start pays for every import here; and its
rows are named tuples, because each dataclass takes half a millisecond of that.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from enum import Enum, IntEnum
from typing import Literal, NamedTuple


class Role(IntEnum):
    """What a caller may do; each role includes the ones before it."""

    READER = 1
    OPERATOR = 2
    DEPLOYER = 3
    ADMIN = 4

    @property
    def canonical(self) -> str:
        """The role's name here, whatever an issuer calls it: ``Fleet.Operator``."""
        return f"Fleet.{self.name.title()}"


class ScopeRule(Enum):
    """The reach of a role that is scoped to a group, per route; the value is its text in the docs."""

    DEVICE = "devices in the group"
    GROUP = "the group"  # in the path, in the body, or as the target of what is in the path
    LISTED = "what is in the group; the rest is left out"
    SHARED = "everything: it is no group's"
    FLEET = "nothing: the role must not be scoped"


LEEWAY_S = 60.0  # between an issuer's clock and ours, wherever a token's times are judged

#: The pattern of contract.names.GroupName again, because that module brings pydantic; a test compares them.
GROUP = re.compile(r"[a-zA-Z0-9:_-]{1,128}")


Kind = Literal["user", "application"]


class Caller(NamedTuple):
    """An authenticated caller as the authorizer describes it; ``roles`` are canonical, maybe scoped.

    ``subject`` is unique at its ``issuer`` only. ``application`` is the client that asks, in a user's
    name or its own; it and ``token_id`` are empty where the token does not say.
    """

    issuer: str
    subject: str
    kind: Kind
    roles: tuple[str, ...]
    expires_at: int  # Unix seconds: the token's ``exp``, which a cached decision outlives
    application: str = ""
    token_id: str = ""


class Scope(NamedTuple):
    """The groups in which a caller holds a role; ``groups`` None: everywhere."""

    groups: frozenset[str] | None

    def covers(self, groups: Collection[str]) -> bool:
        """Whether a resource in ``groups`` is in scope; a resource in no group needs an unscoped role."""
        return self.groups is None or not self.groups.isdisjoint(groups)


def canonical_roles(claimed: Iterable[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the roles among ``claimed`` that we know, by their canonical names, sorted, without repeats.

    ``names`` maps a canonical name to what the issuers call it; a role that is left out keeps its
    name. ``{name}:{group}`` is the role in that group only; whatever is not a role is ignored.
    """
    known = {names.get(name, name): name for name in _BY_NAME}
    roles: set[str] = set()
    for claim in claimed:
        if claim in known:
            roles.add(known[claim])
            continue
        for name, canonical in known.items():
            if claim.startswith(f"{name}:") and GROUP.fullmatch(claim, len(name) + 1):
                roles.add(canonical + claim[len(name) :])
    return tuple(sorted(roles))


def scope(roles: Iterable[str], needed: Role) -> Scope | None:
    """Return where ``roles`` (canonical) include ``needed``; None when they do nowhere."""
    groups: set[str] = set()
    for name in roles:
        role_name, _, group = name.partition(":")
        role = _BY_NAME.get(role_name)
        if role is None or role < needed:
            continue
        if not group:
            return Scope(None)
        groups.add(group)
    return Scope(frozenset(groups)) if groups else None


_BY_NAME = {role.canonical: role for role in Role}
