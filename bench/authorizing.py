"""The authorizer: how long its cold import takes, and one decision, beside what PyJWT alone takes for it."""

import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.imports import compile_ours, imported
from bench.rows import Machine, Row, Target, judge
from bench.sides import BenchFailed
from cloud.auth.issuers import Issuer
from cloud.auth.tokens import Verifier
from cloud.functions.system.authorize import authorize

_IMPORT = Target(
    "import-authorize", "cold import", "import PyJWT[crypto]", 1.1, counts={"aws_and_pydantic_modules": 0}
)
_WARM = Target("warm-authorize", "decide one request", "PyJWT verifies the token", 1.3, "µs", {"fetches": 1})
_HEAVY = ("boto3", "botocore", "pydantic", "urllib3")
_AUTHORIZER = "cloud.functions.system.authorize"
_PER_ROUND = 2_000
_IMPORTS_PER_ROUND = 5
_LIFETIME_S = 3600


def importing(rounds: int) -> Row:
    """Return how long a new process takes to import the authorizer; starting Python is not in it."""
    compile_ours()
    ours, reference, heavy = [], [], 0
    for number in range(rounds + 1):
        pairs = [
            (imported("import jwt"), imported(f"import {_AUTHORIZER}")) for _ in range(_IMPORTS_PER_ROUND)
        ]
        heavy = max(heavy, *(len(authorizer.modules.intersection(_HEAVY)) for _, authorizer in pairs))
        if number:  # the first brings the files into the page cache
            reference.append(median(jwt_alone.cpu_ms for jwt_alone, _ in pairs))
            ours.append(median(authorizer.cpu_ms for _, authorizer in pairs))
    return judge(_IMPORT, ours, reference, {"aws_and_pydantic_modules": heavy}, Machine.without_engine())


def deciding(rounds: int) -> Row:
    """Return how long a decision takes that needs no key it does not have."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    token = _token(key)
    fetches: list[str] = []

    def fetch(uri: str) -> bytes:
        fetches.append(uri)
        return json.dumps({"keys": [public | {"kid": "k1"}]}).encode()

    verifier = Verifier((Issuer("https://id.test", ("fleetgrass",), "https://id.test/jwks"),), fetch=fetch)
    event = {"routeKey": "GET /devices", "headers": {"authorization": f"Bearer {token}"}}
    known = jwt.PyJWK(public, algorithm="RS256")

    def decide() -> bool:
        return bool(authorize(event, verifier, {})["isAuthorized"])

    def verify() -> bool:
        return "sub" in jwt.decode(
            token, known, algorithms=["RS256"], audience="fleetgrass", issuer="https://id.test"
        )

    if not (decide() and verify()):
        raise BenchFailed("the token is not let in")
    ours, reference = [], []
    for _ in range(rounds):
        reference.append(_each_us(verify))
        ours.append(_each_us(decide))
    return judge(_WARM, ours, reference, {"fetches": len(fetches)}, Machine.without_engine())


def _token(key: rsa.RSAPrivateKey) -> str:
    """Return a token as an issuer makes it, with the claims that it has beside those that count."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": "https://id.test", "aud": "fleetgrass", "sub": "ada", "azp": "console", "jti": "token-1",
        "iat": now, "nbf": now, "exp": now + _LIFETIME_S, "roles": ["Fleet.Operator"], "scp": "Fleet.Access",
        "name": "Ada Lovelace", "preferred_username": "ada@example.com", "ver": "2.0",
    }  # fmt: skip
    return jwt.encode(claims, key, "RS256", {"kid": "k1"})


def _each_us(call: Callable[[], bool]) -> float:
    began = time.process_time()
    for _ in range(_PER_ROUND):
        call()
    return (time.process_time() - began) / _PER_ROUND * 1e6
