"""Token issuers and role names, parsed from the parameters ``Issuers`` and ``RoleNames``. Pure.

A wrong value is refused with its path, before a deployment and again when the authorizer starts.
Imports neither boto3 nor pydantic, because the authorizer's cold start pays for it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cloud.auth import strict_json
from cloud.auth.permissions import Role
from cloud.auth.strict_json import NotStrictJson

ISSUERS_MAX_BYTES = 3 * 1024  # a Lambda's whole environment is 4 KiB
_TEXT_MAX = 256
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
#: Entra ID's endpoints that stand for no tenant; its tokens never name them as their issuer.
_ENTRA_HOSTS = ("login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn")
_NO_TENANT = frozenset({"common", "organizations", "consumers"})
#: What an application may do in a user's name; never what the user is.
_DELEGATED = ("scp", "scope")


class BadConfiguration(ValueError):
    """A parameter has a wrong value; the text names the member by its path."""


class Issuer(NamedTuple):  # a dataclass is half a millisecond of that
    """One issuer, and the claims of its tokens; of several claims the first that a token has counts.

    ``audiences`` are ours at this issuer. ``user_scope`` is the delegated permission that a user's
    token must carry: an ID token never has one.
    """

    issuer: str
    audiences: tuple[str, ...]
    jwks_uri: str
    roles_claim: str = "roles"
    subject_claim: str = "sub"
    application_claims: tuple[str, ...] = ("azp", "appid", "client_id")
    token_id_claims: tuple[str, ...] = ("jti", "uti")
    user_scope: str | None = None


def parse_issuers(text: str, *, name: str = "ISSUERS") -> tuple[Issuer, ...]:
    """Return the issuers that a JSON list describes; docs/access.md says what an entry may hold.

    Raises:
        BadConfiguration: naming the member below ``name``.
    """
    if len(text.encode()) > ISSUERS_MAX_BYTES:
        raise BadConfiguration(
            f"{name}: longer than the {ISSUERS_MAX_BYTES} bytes that a function can be given"
        )
    described = _json(text, name)
    if not isinstance(described, list) or not described:
        raise BadConfiguration(f"{name}: must be a list of at least one issuer")
    issuers: list[Issuer] = []
    for i, one in enumerate(described):
        issuer = _issuer(one, f"{name}[{i}]")
        for j, other in enumerate(issuers):
            if other.issuer == issuer.issuer:
                raise BadConfiguration(
                    f"{name}[{i}].issuer: is {name}[{j}].issuer too; audience may be a list"
                )
        issuers.append(issuer)
    return tuple(issuers)


def parse_role_names(text: str, *, name: str = "ROLES") -> Mapping[str, str]:
    """Return the issuers' names of our roles, by canonical name; a role that is left out keeps its own.

    Raises:
        BadConfiguration: naming the member below ``name``; also where a claim could mean two roles.
    """
    named = _json(text, name)
    if not isinstance(named, dict):
        raise BadConfiguration(f"{name}: must be an object of texts")
    canonical = {role.canonical for role in Role}
    for role, theirs in named.items():
        path = f"{name}.{role}"
        if role not in canonical:
            raise BadConfiguration(f"{path}: there is no such role; they are {', '.join(sorted(canonical))}")
        if any(c.isspace() for c in _text(theirs, path)):
            raise BadConfiguration(f"{path}: must hold no white space")
    meant = {role: named.get(role, role) for role in sorted(canonical)}
    for role, theirs in meant.items():
        for other, others in meant.items():
            if role != other and f"{theirs}:".startswith(f"{others}:"):
                raise BadConfiguration(f'{name}: "{theirs}" would mean {role} and {other}')
    return dict(named)


def _issuer(described: object, path: str) -> Issuer:
    if not isinstance(described, dict):
        raise BadConfiguration(f"{path}: must be an object")
    given = dict(described)
    members: dict[str, Any] = {
        "issuer": _text(given.pop("issuer", None), f"{path}.issuer"),
        "audiences": _audiences(given.pop("audience", None), f"{path}.audience"),
        "jwks_uri": _text(given.pop("jwks_uri", None), f"{path}.jwks_uri"),
    }
    _require_one_tenant(members["issuer"], f"{path}.issuer")
    _require_address(members["jwks_uri"], f"{path}.jwks_uri")
    for name in ("roles_claim", "subject_claim", "user_scope"):
        if name in given:
            members[name] = _text(given.pop(name), f"{path}.{name}")
    for name in ("application_claim", "token_id_claim"):
        if name in given:
            members[f"{name}s"] = (_text(given.pop(name), f"{path}.{name}"),)
    if given:
        raise BadConfiguration(f"{path}.{min(given)}: unknown member")
    if members.get("roles_claim") in _DELEGATED:
        raise BadConfiguration(
            f"{path}.roles_claim: {members['roles_claim']} says what an application may do for a user, "
            "and grants no role"
        )
    return Issuer(**members)


def _audiences(value: object, path: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        return (_text(value, path),)
    if not value:
        raise BadConfiguration(f"{path}: must name at least one audience")
    return tuple(_text(one, f"{path}[{i}]") for i, one in enumerate(value))


def _require_one_tenant(issuer: str, path: str) -> None:
    if "{" in issuer:
        raise BadConfiguration(f"{path}: must be one tenant's, with no placeholder")
    _require_no_common(issuer, path)


def _require_address(uri: str, path: str) -> None:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadConfiguration(f"{path}: is no address") from None
    if not host or port == 0 or not uri.isascii() or " " in uri or parts.username is not None:
        raise BadConfiguration(f"{path}: is no address")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise BadConfiguration(f"{path}: must be https (http on loopback only)")
    _require_no_common(uri, path)


def _require_no_common(uri: str, path: str) -> None:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return  # an issuer may be any text
    if parts.hostname in _ENTRA_HOSTS and not _NO_TENANT.isdisjoint(parts.path.split("/")):
        raise BadConfiguration(f"{path}: must be one tenant's, with its id in the place of common")


def _text(value: object, path: str) -> str:
    if value is None:
        raise BadConfiguration(f"{path}: missing")
    if not isinstance(value, str) or not 1 <= len(value) <= _TEXT_MAX or not value.isprintable():
        raise BadConfiguration(f"{path}: must be a text of 1 to {_TEXT_MAX} printable characters")
    return value


def _json(text: str, name: str) -> object:
    try:
        return strict_json.parse(text.encode(), what=name)
    except NotStrictJson as error:
        raise BadConfiguration(str(error)) from None
