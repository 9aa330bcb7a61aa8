"""Bearer tokens: who signed them, for whom, until when.

RS256 only, by an allow-list and never by the header's word. Keys come from the configured JWKS
addresses alone, whatever a token brings along. Knows no route and no role's meaning; imports neither
boto3 nor pydantic, because the authorizer's cold start pays for it. It raises ``Untrusted`` of a token
that says nothing we believe, and ``cloud.jwks.KeysUnavailable`` where nothing is known of it.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jwt

from cloud.access import LEEWAY_S
from cloud.jwks import KeysUnavailable, parse_keys

log = logging.getLogger(__name__)

REFRESH_AT_MOST_EVERY_S = 60.0  # an unknown kid must not become a way to flood the issuer
KEYS_FRESH_S = 600.0  # older ones are asked for again, and used while the issuer does not answer
KEYS_KEPT_S = 3600.0  # a key that the issuer withdrew is believed no longer than this
TOKEN_MAX_BYTES = 16 * 1024
_KEYS_FROM_THE_TOKEN = ("jwk", "jku", "x5u", "x5c", "crit")

Fetch = Callable[[str], bytes]


class Untrusted(Exception):
    """The token says nothing that we believe; ``code`` is stable, for the log."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class BadConfiguration(ValueError):
    """ISSUERS is not what it must be; the text names the member."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are accepted, for which audience, and which claim carries the roles."""

    issuer: str
    audience: str
    jwks_uri: str
    roles_claim: str = "roles"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. ``roles`` are the issuer's words, not ours yet."""

    subject: str
    roles: tuple[str, ...]
    expires_at: int


@dataclass(slots=True)
class _Keys:
    by_id: Mapping[str, jwt.PyJWK] = field(default_factory=dict)
    tried_at: float = float("-inf")
    fetched_at: float = float("-inf")
    failure: KeysUnavailable | None = None  # of the last try


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
        self._keys = {issuer.jwks_uri: _Keys() for issuer in issuers}
        self._fetch = fetch
        self._now = now
        self._monotonic = monotonic

    def verify(self, token: str) -> Claims:
        """Return the claims of a token that is signed, current, and meant for us.

        Raises:
            Untrusted: anything else, with the first reason found.
            KeysUnavailable: it may be one; the issuer's keys cannot be had now.
        """
        if len(token) > TOKEN_MAX_BYTES:
            raise Untrusted("too-large")
        try:
            header = jwt.get_unverified_header(token)
            claimed = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Untrusted("malformed") from None
        if header.get("alg") != "RS256":
            raise Untrusted("algorithm-not-allowed")
        if any(name in header for name in _KEYS_FROM_THE_TOKEN):
            raise Untrusted("key-in-token")
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise Untrusted("key-unknown")
        claimed_issuer = claimed.get("iss")
        issuer = self._issuers.get(claimed_issuer) if isinstance(claimed_issuer, str) else None
        if issuer is None:
            raise Untrusted("issuer-unknown")
        return self._claims(token, issuer, self._key(issuer.jwks_uri, kid))

    def _claims(self, token: str, issuer: Issuer, key: jwt.PyJWK) -> Claims:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=issuer.audience,
                issuer=issuer.issuer,
                # The times are ours to judge: PyJWT reads the clock itself, and int() of an infinity raises.
                options={"require": ["exp", "iss", "aud", "sub"], "verify_exp": False, "verify_nbf": False,
                         "verify_iat": False},
            )  # fmt: skip
        except jwt.InvalidAudienceError:
            raise Untrusted("audience-wrong") from None
        except (jwt.MissingRequiredClaimError, jwt.exceptions.InvalidSubjectError):
            raise Untrusted("claim-missing") from None
        except jwt.InvalidSignatureError:
            raise Untrusted("signature-wrong") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Untrusted("malformed") from None
        now = self._now()
        expires_at = _instant(claims["exp"])
        if expires_at <= now - LEEWAY_S:
            raise Untrusted("expired")
        if "nbf" in claims and _instant(claims["nbf"]) > now + LEEWAY_S:
            raise Untrusted("not-yet-valid")
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject or not subject.isprintable():
            raise Untrusted("subject-unusable")
        return Claims(subject[:128], _roles(claims.get(issuer.roles_claim)), int(expires_at))

    def _key(self, jwks_uri: str, kid: str) -> jwt.PyJWK:
        keys = self._keys[jwks_uri]
        now = self._monotonic()
        wanted = kid not in keys.by_id or now - keys.fetched_at >= KEYS_FRESH_S
        if wanted and now - keys.tried_at >= REFRESH_AT_MOST_EVERY_S:
            keys.tried_at = now
            try:
                keys.by_id = parse_keys(self._fetch(jwks_uri))
            except KeysUnavailable as failure:
                log.warning("keys unavailable: jwks_uri=%s reason=%s", jwks_uri, failure.reason)
                keys.failure = failure
            else:
                keys.fetched_at, keys.failure = now, None
        if now - keys.fetched_at >= KEYS_KEPT_S:
            keys.by_id = {}
        key = keys.by_id.get(kid)
        if key is not None:
            return key
        if keys.failure is not None:
            raise KeysUnavailable(keys.failure.reason)
        raise Untrusted("key-unknown")


def parse_issuers(text: str) -> tuple[Issuer, ...]:
    """Return the issuers that a JSON list describes.

    Raises:
        BadConfiguration: naming the member; plain http is for loopback only.
    """
    try:
        described = json.loads(text)
    except ValueError:
        raise BadConfiguration("ISSUERS is not JSON") from None
    if not isinstance(described, list) or not described:
        raise BadConfiguration("ISSUERS must be a list of at least one issuer")
    issuers = []
    for i, one in enumerate(described):
        if not isinstance(one, dict) or not all(isinstance(value, str) and value for value in one.values()):
            raise BadConfiguration(f"ISSUERS[{i}] must be an object of texts")
        try:
            issuer = Issuer(**one)
        except TypeError as error:
            raise BadConfiguration(f"ISSUERS[{i}]: {error}") from None
        if not _may_be_asked(issuer.jwks_uri):
            raise BadConfiguration(f"ISSUERS[{i}].jwks_uri must be https (http on loopback only)")
        issuers.append(issuer)
    return tuple(issuers)


def _may_be_asked(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in ("127.0.0.1", "::1", "localhost"))
    )


def _instant(value: Any) -> float:
    """Return a NumericDate; infinities, texts, truth values and dates past the year 9999 are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 253_402_300_800:
        raise Untrusted("time-unusable")
    return float(value)


def _roles(claim: object) -> tuple[str, ...]:
    if isinstance(claim, str):
        return tuple(claim.split())
    if isinstance(claim, list):
        return tuple(role for role in claim if isinstance(role, str))
    return ()
