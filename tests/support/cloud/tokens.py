"""Fixtures of the token tests: two issuers with their keys, tokens with defaults, a clock to set."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from cloud.auth.issuers import Issuer
from cloud.auth.jwks import KeysUnavailable
from cloud.auth.tokens import Verifier
from cloud.functions.system.authorize import authorize

NOW = 1_800_000_000
ISSUER = Issuer("https://id.test", ("fleetgrass",), "https://id.test/jwks")
#: Another one, whose key set has the same key id for another key.
SECOND = Issuer("https://second.test", ("fleet-api",), "https://second.test/jwks")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CLAIMS: dict[str, Any] = {
    "iss": ISSUER.issuer,
    "aud": "fleetgrass",
    "sub": "ada",
    "azp": "console",
    "jti": "token-1",
    "exp": NOW + 600,
    "nbf": NOW - 5,
    "iat": NOW - 5,
    "roles": ["Fleet.Admin"],
}
HEADER: dict[str, Any] = {"alg": "RS256", "typ": "JWT", "kid": "k1"}


def jwk(key: rsa.RSAPrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, **more}


def changed(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``before`` with ``changes``; a change to None leaves the member out."""
    return {name: value for name, value in {**before, **changes}.items() if value is not None}


def rs256(key: rsa.RSAPrivateKey) -> Callable[[bytes], bytes]:
    algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    return lambda text: algorithm.sign(text, key)


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


_BY_KEY = rs256(KEY)


def handmade(header: object, claims: object, sign: Callable[[bytes], bytes] = _BY_KEY) -> str:
    """A token of any header and claims; what is bytes already is taken as it is."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    text = ".".join(map(b64, parts))
    return f"{text}.{b64(sign(text.encode()))}"


def token(key: rsa.RSAPrivateKey = KEY, *, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """A token signed with ``key``, with the claims ``changes``."""
    return handmade(changed(HEADER, header or {}), changed(CLAIMS, changes), rs256(key))


class Keys:
    """An issuer's key set, and how often it was asked."""

    def __init__(self, *keys: Any) -> None:
        self.keys = list(keys)
        self.asked: list[str] = []
        self.down = False

    def __call__(self, uri: str) -> bytes:
        self.asked.append(uri)
        if self.down:
            raise KeysUnavailable("down")
        return json.dumps({"keys": self.keys}).encode()


class Today(datetime):
    """The clock that PyJWT looks at, held at NOW; it takes none as an argument."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(NOW, tz)


class Time:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def a_verifier(
    fetch: Callable[[str], bytes] | None = None, monotonic: Time | None = None, issuer: Issuer = ISSUER
) -> Verifier:
    """One that knows ``issuer``, whose one key is KEY."""
    return Verifier(
        (issuer,),
        fetch=fetch or Keys(jwk(KEY, "k1")),
        monotonic=monotonic or Time(),
    )


def two_issuers(*more: Any) -> Verifier:
    """One that knows both: each has a key k1, and SECOND has k2 too; ISSUER's set also has ``more``."""
    sets = {
        ISSUER.jwks_uri: Keys(jwk(KEY, "k1"), *more),
        SECOND.jwks_uri: Keys(jwk(OTHER, "k1"), jwk(OTHER, "k2")),
    }
    return Verifier((ISSUER, SECOND), fetch=lambda uri: sets[uri](uri), monotonic=Time())


def decide(
    headers: Mapping[str, Any], route: str = "POST /deployments", verifier: Verifier | None = None
) -> dict[str, Any]:
    """The authorizer's answer to a request with these headers."""
    return authorize({"routeKey": route, "headers": headers}, verifier or two_issuers(), {})


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}
