"""Attacks on who signed: the algorithm, the key, its id."""

import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.cloud.auth.attacks.attack import HONEST, MODULUS, OF_SECOND, attack, header, said
from tests.support.cloud.tokens import CLAIMS, HEADER, KEY, OTHER, b64, changed, handmade, jwk, token

# ---- the algorithm is ours to choose, not the token's
NONES: list[Any] = [
    "none",
    "None",
    "NONE",
    "nOnE",
    "none ",
    " none",
    "none\u0000",
    "",
    None,
    0,
    False,
    [],
    ["none"],
    {},
]
for none in NONES:
    attack(f"alg {none!r}", handmade(said(HEADER, "alg", none), CLAIMS), "algorithm-not-allowed")
for spelling in ["rs256", "RS256 ", "RS256\u0000", ["RS256"], {"RS256": 1}, True, "RS257", "A256GCM", "dir"]:
    attack(f"alg {spelling!r}", handmade(said(HEADER, "alg", spelling), CLAIMS), "algorithm-not-allowed")
attack("no alg", handmade(changed(HEADER, {"alg": None}), CLAIMS), "algorithm-not-allowed")
attack("alg none, no signature", handmade(header(alg="none"), CLAIMS, lambda text: b""), "malformed")
attack("alg none, one dot", HONEST.rpartition(".")[0], "malformed")

PUBLIC = KEY.public_key()
_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER
_SPKI, _PKCS1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
SECRETS: dict[str, bytes] = {
    "PEM": PUBLIC.public_bytes(_PEM, _SPKI),
    "PEM without its last newline": PUBLIC.public_bytes(_PEM, _SPKI).strip(),
    "PKCS 1 PEM": PUBLIC.public_bytes(_PEM, _PKCS1),
    "DER": PUBLIC.public_bytes(_DER, _SPKI),
    "PKCS 1 DER": PUBLIC.public_bytes(_DER, _PKCS1),
    "JWK": json.dumps(jwk(KEY, "k1")).encode(),
    "JWK, compact": json.dumps(jwk(KEY, "k1"), separators=(",", ":")).encode(),
    "JWK set": json.dumps({"keys": [jwk(KEY, "k1")]}).encode(),
    "modulus": MODULUS,
    "modulus as text": b64(MODULUS).encode(),
    "nothing": b"",
}


def hmac_of(secret: bytes, digest: str = "sha256") -> Callable[[bytes], bytes]:
    return lambda text: hmac.new(secret, text, digest).digest()


for form, secret in SECRETS.items():
    for bits in (256, 384, 512):
        attack(
            f"HS{bits} with the public key: {form}",
            handmade(header(alg=f"HS{bits}"), CLAIMS, hmac_of(secret, f"sha{bits}")),
            "algorithm-not-allowed",
        )
    attack(f"HS256 said to be RS256: {form}", handmade(HEADER, CLAIMS, hmac_of(secret)), "signature-wrong")
for algorithm in ("RS384", "RS512", "PS256", "PS384", "PS512"):
    attack(
        f"{algorithm} with the issuer's own key",
        jwt.encode(CLAIMS, KEY, algorithm, {"kid": "k1"}),
        "algorithm-not-allowed",
    )
_PS256 = jwt.algorithms.RSAPSSAlgorithm(jwt.algorithms.RSAPSSAlgorithm.SHA256)
attack("PS256 said to be RS256", handmade(HEADER, CLAIMS, lambda t: _PS256.sign(t, KEY)), "signature-wrong")

# ---- kinds of keys that an issuer may publish, and none of ours
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
EC_JWK = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(P256.public_key())), "kid": "ec"}
OKP_JWK = {**json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(ED25519.public_key())), "kid": "okp"}
OCT_JWK = {"kty": "oct", "k": b64(b"a secret that everybody can read"), "kid": "oct"}


def by_secret(alg: str) -> str:
    return handmade(header(alg=alg, kid="oct"), CLAIMS, hmac_of(b"a secret that everybody can read"))


attack(
    "ES256, the issuer's", jwt.encode(CLAIMS, P256, "ES256", {"kid": "ec"}), "algorithm-not-allowed",
    keys=[EC_JWK],
)  # fmt: skip
attack(
    "EdDSA, the issuer's", jwt.encode(CLAIMS, ED25519, "EdDSA", {"kid": "okp"}), "algorithm-not-allowed",
    keys=[OKP_JWK],
)  # fmt: skip
attack("a published symmetric key", by_secret("HS256"), "algorithm-not-allowed", keys=[OCT_JWK])
attack("a published symmetric key, RS256", by_secret("RS256"), "key-unknown", keys=[OCT_JWK])
attack("a symmetric key for RS256", by_secret("RS256"), "key-unknown", keys=[{**OCT_JWK, "alg": "RS256"}])
attack("RSA of 1024 bits", token(SMALL, header={"kid": "small"}), "key-unknown", keys=[jwk(SMALL, "small")])
for use in (
    {"use": "enc"},
    {"alg": "RSA-OAEP"},
    {"alg": "PS256"},
    {"use": None},
    {"kty": "rsa"},
    {"e": "AQ"},
):
    attack(
        f"a key with {use}", token(OTHER, header={"kid": "x"}), "key-unknown", keys=[jwk(OTHER, "x") | use]
    )

# ---- the key comes from the issuer, not with the token
CARRIED: dict[str, Any] = {
    "jwk": jwk(OTHER, "k1"),
    "jku": "https://evil.test/jwks",
    "x5u": "https://evil.test/certificate",
    "x5c": ["MIIB"],
}
for name, value in CARRIED.items():
    attack(f"{name} in the header", token(OTHER, header={name: value}), "key-in-token")
    attack(
        f"{name} in the header, unknown kid", token(OTHER, header={name: value, "kid": "x"}), "key-in-token"
    )
    attack(f"{name} in the header, honest signature", token(header={name: value}), "key-in-token")
    attack(f"{name} in the header, null", handmade(said(HEADER, name, None), CLAIMS), "key-in-token")
    attack(f"{name} in the claims", token(OTHER, **{name: value}), "signature-wrong")
attack("signed by another key", token(OTHER), "signature-wrong")
attack("the jku of the issuer itself", token(header={"jku": "https://id.test/jwks"}), "key-in-token")

# ---- which key: unknown and colliding ids
KIDS: list[Any] = [
    "k", "k11", "K1", " k1", "k1 ", "k1\u0000", "", "k1.", "../k1", "../../../../dev/null",
    "/proc/self/environ",
    "file:///dev/null", "https://evil.test/jwks", "' OR 1=1 --", "k1'; DROP TABLE devices; --", "k1|id",
    "$(id)", "${jndi:ldap://evil.test}", "k" * 4_000, "ｋ1", "*", "keys[0]",
]  # fmt: skip
for kid in KIDS:
    attack(f"kid {kid[:32]!r}", token(OTHER, header={"kid": kid}), "key-unknown")
    attack(f"kid {kid[:32]!r}, honest signature", token(header={"kid": kid}), "key-unknown")
for kid in (None, 1, 1.0, True, ["k1"], {"k1": "k1"}, 10**400):
    attack(f"kid of no text: {str(kid)[:8]}", handmade(said(HEADER, "kid", kid), CLAIMS), "key-unknown")
attack("no kid", handmade(changed(HEADER, {"kid": None}), CLAIMS), "key-unknown")
attack("kid of another issuer's other key", token(OTHER, header={"kid": "k2"}), "key-unknown")
attack(
    "another issuer's key with the same kid", token(OTHER), "signature-wrong",
    honest=token(OTHER, **OF_SECOND),
)  # fmt: skip
attack(
    "our issuer's key, said to be the other's", token(KEY, **OF_SECOND), "signature-wrong",
    honest=token(OTHER, **OF_SECOND),
)  # fmt: skip
attack(
    "an id that stands for two keys", token(OTHER, header={"kid": "twice"}), "key-unknown",
    keys=[jwk(KEY, "twice"), jwk(OTHER, "twice")],
)  # fmt: skip
