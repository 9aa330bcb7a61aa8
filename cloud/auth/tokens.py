"""Verification of bearer tokens (JWT): signature, issuer, audience, lifetime and subject.

PyJWT verifies the signature and the registered claims; what it is too lenient about is refused here first.
RS256 only, by an allow-list; the header's ``alg`` never decides. Keys come from the configured JWKS
addresses alone, whatever a token carries. Knows no route and no role's meaning; imports neither
boto3 nor pydantic, because the authorizer's cold start pays for it. Raises ``Untrusted`` for a token that
is refused, and ``cloud.auth.jwks.KeysUnavailable`` where the issuer's keys cannot be had.
"""

import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jwt
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from cloud.auth import strict_json
from cloud.auth.issuers import Issuer
from cloud.auth.jwks import KeySet
from cloud.auth.permissions import LEEWAY_S, Kind
from cloud.auth.strict_json import NotStrictJson

TOKEN_MAX_BYTES = 10 * 1024  # API Gateway takes no more than this of headers
_TEXT_MAX = 128  # characters of a subject, an application's or a token's id
_HEADERS_KEPT = 16  # an issuer writes the same one into every token that a key of its signs
_KEYS_FROM_THE_TOKEN = frozenset({"jwk", "jku", "x5u", "x5c"})
_ANOTHER_FORM = frozenset({"crit", "b64", "zip", "enc", "cty"})  # RFC 7515, 7516, 7797: what we do not read
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # RFC 7519, 9068
_OF_AN_ID_TOKEN = frozenset({"nonce", "at_hash", "c_hash"})  # OpenID Connect Core, 2 and 3.3.2.11
_REFUSALS: Mapping[type[jwt.PyJWTError], str] = {
    jwt.InvalidAlgorithmError: "algorithm-not-allowed",
    jwt.InvalidSignatureError: "signature-wrong",
    jwt.InvalidIssuerError: "issuer-unknown",
    jwt.InvalidAudienceError: "audience-wrong",
    jwt.MissingRequiredClaimError: "claim-missing",
    jwt.ExpiredSignatureError: "expired",
    jwt.ImmatureSignatureError: "not-yet-valid",
    InvalidSubjectError: "subject-unusable",
    InvalidJTIError: "token-id-unusable",
}

Fetch = Callable[[str], bytes]


class Untrusted(Exception):
    """The token is refused; ``code`` is stable, for the log."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Claims(NamedTuple):  # a dataclass is half a millisecond of the cold start
    """The claims of a verified token. ``roles`` are the issuer's names, not ours yet."""

    issuer: str
    subject: str  # unique at the issuer
    kind: Kind
    application: str  # the client, whoever it acts for; empty where the token does not say
    token_id: str  # the same
    roles: tuple[str, ...]
    expires_at: int  # Unix seconds


class Verifier:
    """Verifies tokens of the configured issuers; keeps their keys for the life of the process."""

    def __init__(
        self,
        issuers: tuple[Issuer, ...],
        *,
        fetch: Fetch,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        uris = {issuer.jwks_uri for issuer in issuers}
        self._keys = {uri: KeySet(uri, fetch=fetch, monotonic=monotonic) for uri in uris}
        self._jwt = _ReadOnce()

    def verify(self, token: str) -> Claims:
        """Return the claims of a token that is signed, current, and meant for us.

        Raises:
            Untrusted: anything else, with the first reason found.
            KeysUnavailable: it may be one; the issuer's keys cannot be had now.
        """
        header, payload = _segments(token)
        claims = self._jwt.read(_decoded(payload))
        kid = _kid(header)
        claimed = _issuer(claims)
        issuer = self._issuers.get(claimed) if isinstance(claimed, str) else None
        if issuer is None:
            raise Untrusted("issuer-unknown")
        key = self._keys[issuer.jwks_uri].key(kid)
        if key is None:
            raise Untrusted("key-unknown")
        return _believed(self._verified(token, key, issuer), issuer)

    def _verified(self, token: str, key: jwt.PyJWK, issuer: Issuer) -> Mapping[str, Any]:
        """Return the claims of a token that ``key`` signed, of now, of ``issuer`` and for us."""
        try:
            return self._jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                options={"require": ["exp", "iss", "aud", issuer.subject_claim]},
                audience=issuer.audiences,
                issuer=issuer.issuer,
                leeway=LEEWAY_S,
            )
        except jwt.PyJWTError as error:
            raise Untrusted(_REFUSALS.get(type(error), "malformed")) from None


class _ReadOnce(jwt.PyJWT):
    """PyJWT, but for claims that are read strictly, and not again where they were before."""

    def __init__(self) -> None:
        super().__init__()
        self._last: tuple[bytes, dict[str, Any]] = (b"", {})

    def read(self, payload: bytes) -> Mapping[str, Any]:
        """Return the claims that are in ``payload``, of which nothing is believed yet."""
        claims = _object(payload)
        self._last = (payload, claims)
        return claims

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        """Return the claims of the text that was verified; PyJWT has this method to be overridden."""
        payload, claims = self._last
        return claims if payload == decoded["payload"] else _object(decoded["payload"])


def _segments(token: str) -> tuple[str, str]:
    """Return header and payload of a token in its only spelling; PyJWT judges the letters."""
    if len(token) > TOKEN_MAX_BYTES:
        raise Untrusted("too-large")
    segments = token.split(".")
    if len(segments) != 3 or not all(segments) or "=" in token:  # PyJWT bears padding
        raise Untrusted("malformed")
    return segments[0], segments[1]


def _decoded(segment: str) -> bytes:
    try:
        return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise Untrusted("malformed") from None


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = strict_json.parse(text)
    except NotStrictJson:
        raise Untrusted("malformed") from None
    if not isinstance(value, dict):
        raise Untrusted("malformed")
    return value


def _issuer(claims: Mapping[str, Any]) -> object:
    """Return who is said to have issued claims that have the forms we take; PyJWT takes others too."""
    if claims.get("aud") in ("", []):
        raise Untrusted("audience-wrong")  # PyJWT calls it missing
    for name in ("exp", "nbf", "iat"):
        if name in claims:
            _require_instant(claims[name])
    return claims.get("iss")


@lru_cache(_HEADERS_KEPT)
def _kid(segment: str) -> str:
    """Return which key signed, of a header that asks for nothing else."""
    header = _object(_decoded(segment))
    if header.get("alg") != "RS256":
        raise Untrusted("algorithm-not-allowed")
    if not _KEYS_FROM_THE_TOKEN.isdisjoint(header):
        raise Untrusted("key-in-token")
    if not _ANOTHER_FORM.isdisjoint(header):
        raise Untrusted("form-unknown")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Untrusted("not-an-access-token")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise Untrusted("key-unknown")
    return kid


def _require_instant(value: Any) -> None:
    """Refuse what is no NumericDate: texts, truth values, dates past the year 9999."""
    if type(value) not in (int, float) or not 0 <= value < 253_402_300_800:
        raise Untrusted("time-unusable")


def _believed(claims: Mapping[str, Any], issuer: Issuer) -> Claims:
    """Return what a verified token says, if it is one that gives access."""
    if not _OF_AN_ID_TOKEN.isdisjoint(claims):
        raise Untrusted("not-an-access-token")
    application = _text(claims, issuer.application_claims, "application-unusable")
    kind = _kind(claims, application)
    if kind == "user" and issuer.user_scope is not None and issuer.user_scope not in _scopes(claims):
        raise Untrusted("scope-missing")
    return Claims(
        issuer=issuer.issuer,
        subject=_text(claims, (issuer.subject_claim,), "subject-unusable"),
        kind=kind,
        application=application,
        token_id=_text(claims, issuer.token_id_claims, "token-id-unusable"),
        roles=_words(claims.get(issuer.roles_claim)),
        expires_at=int(claims["exp"]),
    )


def _text(claims: Mapping[str, Any], names: tuple[str, ...], unusable: str) -> str:
    """Return the first of the claims ``names`` that is there, empty for none; it goes into logs as it is."""
    value = None
    for name in names:
        if name in claims:
            value = claims[name]
            break
    if value is None:
        return ""
    usable = isinstance(value, str) and 0 < len(value) <= _TEXT_MAX and value.isprintable()
    if not usable or '"' in value or "\\" in value:
        raise Untrusted(unusable)
    return str(value)


def _kind(claims: Mapping[str, Any], application: str) -> Kind:
    """Return whom the token speaks of: a user (delegated), or an application itself (client credentials).

    Entra ID says so in ``idtyp`` where that optional claim is asked for. Else a delegated token has
    ``scp``, and an application's own has itself as its subject (RFC 9068, 2.2; in Entra ID, its object).
    """
    said = claims.get("idtyp")
    if said == "app":
        return "application"
    if said == "user" or "scp" in claims:
        return "user"
    subject = claims.get("sub")
    return "application" if subject and subject in (application, claims.get("oid")) else "user"


def _scopes(claims: Mapping[str, Any]) -> tuple[str, ...]:
    return (*_words(claims.get("scp")), *_words(claims.get("scope")))


def _words(claim: object) -> tuple[str, ...]:
    if isinstance(claim, str):
        return tuple(claim.split())
    if isinstance(claim, list):
        return tuple(word for word in claim if isinstance(word, str))
    return ()
