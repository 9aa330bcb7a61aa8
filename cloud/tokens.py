"""Bearer tokens: who signed them, for whom, until when, and whom they speak of.

RS256 only, by an allow-list and never by the header's word. Keys come from the configured JWKS
addresses alone, whatever a token brings along. Knows no route and no role's meaning; imports neither
boto3 nor pydantic, because the authorizer's cold start pays for it. It raises ``Untrusted`` of a token
that says nothing we believe, and ``cloud.jwks.KeysUnavailable`` where nothing is known of it.
"""

import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from cloud import strict_json
from cloud.access import LEEWAY_S, Kind
from cloud.issuers import Issuer
from cloud.jwks import KeySet
from cloud.strict_json import NotStrictJson

TOKEN_MAX_BYTES = 10 * 1024  # API Gateway takes no more than this of headers
_TEXT_MAX = 128  # characters of a subject, an application's or a token's id
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_KEYS_FROM_THE_TOKEN = ("jwk", "jku", "x5u", "x5c")
_ANOTHER_FORM = ("crit", "b64", "zip", "enc", "cty")  # RFC 7515, 7516, 7797: what we do not read
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # RFC 7519, 9068
_OF_AN_ID_TOKEN = ("nonce", "at_hash", "c_hash")  # OpenID Connect Core, 2 and 3.3.2.11

Fetch = Callable[[str], bytes]


class Untrusted(Exception):
    """The token says nothing that we believe; ``code`` is stable, for the log."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. ``roles`` are the issuer's words, not ours yet."""

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
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        uris = {issuer.jwks_uri for issuer in issuers}
        self._keys = {uri: KeySet(uri, fetch=fetch, monotonic=monotonic) for uri in uris}
        self._now = now

    def verify(self, token: str) -> Claims:
        """Return the claims of a token that is signed, current, and meant for us.

        Raises:
            Untrusted: anything else, with the first reason found.
            KeysUnavailable: it may be one; the issuer's keys cannot be had now.
        """
        read = _read(token)
        kid, claimed = _kid(read.header), read.claims.get("iss")
        issuer = self._issuers.get(claimed) if isinstance(claimed, str) else None
        if issuer is None:
            raise Untrusted("issuer-unknown")
        key = self._keys[issuer.jwks_uri].key(kid)
        if key is None:
            raise Untrusted("key-unknown")
        try:  # RS256 (RFC 7518, 3.3), whatever the header says, over the text that was read above
            key.verify(read.signature, read.signed, PKCS1v15(), SHA256())
        except InvalidSignature:
            raise Untrusted("signature-wrong") from None
        return _believed(read.claims, issuer, self._now())


@dataclass(frozen=True, slots=True)
class _Token:
    """A token taken apart, of which nothing is believed yet."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def _read(token: str) -> _Token:
    if len(token) > TOKEN_MAX_BYTES:
        raise Untrusted("too-large")
    segments = _COMPACT.fullmatch(token)
    if segments is None:
        raise Untrusted("malformed")
    signature = _decoded(segments[3])
    if urlsafe_b64encode(signature).rstrip(b"=") != segments[3].encode():
        raise Untrusted("malformed")  # unused bits that are set: a second spelling of the same signature
    signed = token[: segments.end(2)].encode()
    return _Token(_object(_decoded(segments[1])), _object(_decoded(segments[2])), signed, signature)


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


def _kid(header: Mapping[str, Any]) -> str:
    """Return which key signed, of a header that asks for nothing else."""
    if header.get("alg") != "RS256":
        raise Untrusted("algorithm-not-allowed")
    if any(name in header for name in _KEYS_FROM_THE_TOKEN):
        raise Untrusted("key-in-token")
    if any(name in header for name in _ANOTHER_FORM):
        raise Untrusted("form-unknown")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Untrusted("not-an-access-token")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise Untrusted("key-unknown")
    return kid


def _believed(claims: Mapping[str, Any], issuer: Issuer, now: float) -> Claims:
    """Return what a token with a good signature says, if it is for us and of now."""
    _require_audience(claims.get("aud"), issuer)
    expires_at = _require_times(claims, now)
    if any(name in claims for name in _OF_AN_ID_TOKEN):
        raise Untrusted("not-an-access-token")
    subject = _text(claims, (issuer.subject_claim,), "subject-unusable")
    if not subject:
        raise Untrusted("claim-missing")
    application = _text(claims, issuer.application_claims, "application-unusable")
    kind = _kind(claims, application)
    if kind == "user" and issuer.user_scope is not None and issuer.user_scope not in _scopes(claims):
        raise Untrusted("scope-missing")
    return Claims(
        issuer=issuer.issuer,
        subject=subject,
        kind=kind,
        application=application,
        token_id=_text(claims, issuer.token_id_claims, "token-id-unusable"),
        roles=_words(claims.get(issuer.roles_claim)),
        expires_at=int(expires_at),
    )


def _require_audience(claim: object, issuer: Issuer) -> None:
    if claim is None:
        raise Untrusted("claim-missing")
    audiences = claim if isinstance(claim, list) else [claim]
    if not all(isinstance(one, str) for one in audiences) or set(issuer.audiences).isdisjoint(audiences):
        raise Untrusted("audience-wrong")


def _require_times(claims: Mapping[str, Any], now: float) -> float:
    """Return when the token ends."""
    if "exp" not in claims:
        raise Untrusted("claim-missing")
    expires_at = _instant(claims["exp"])
    if expires_at <= now - LEEWAY_S:
        raise Untrusted("expired")
    for name in ("nbf", "iat"):
        if name in claims and _instant(claims[name]) > now + LEEWAY_S:
            raise Untrusted("not-yet-valid")
    return expires_at


def _instant(value: Any) -> float:
    """Return a NumericDate; infinities, texts, truth values and dates past the year 9999 are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 253_402_300_800:
        raise Untrusted("time-unusable")
    return float(value)


def _text(claims: Mapping[str, Any], names: tuple[str, ...], unusable: str) -> str:
    """Return the first of the claims ``names`` that is there, empty for none; it goes into logs as it is."""
    value = next((claims[name] for name in names if name in claims), None)
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
