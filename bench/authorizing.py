"""The authorizer: how long its cold import takes, and one decision, beside what PyJWT alone takes for it."""

import compileall
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.rows import Machine, Row, Target, judge
from bench.sides import BenchFailed
from cloud.functions.authorize import authorize
from cloud.issuers import Issuer
from cloud.tokens import Verifier

_IMPORT = Target(
    "import-authorize", "cold import", "import PyJWT[crypto]", 1.1, counts={"aws_and_pydantic_modules": 0}
)
_WARM = Target("warm-authorize", "decide one request", "PyJWT verifies the token", 1.3, "µs", {"fetches": 1})
_ROOT = Path(__file__).parents[1]
_HEAVY = ("boto3", "botocore", "pydantic", "urllib3")
_AUTHORIZER = "cloud.functions.authorize"
_PER_ROUND = 2_000
_IMPORTS_PER_ROUND = 5
_LIFETIME_S = 3600


def importing(rounds: int) -> Row:
    """Return how long a new process takes to import the authorizer; starting Python is not in it."""
    for package in ("contract", "cloud"):
        compileall.compile_dir(str(_ROOT / package), quiet=1)
    ours, reference, heavy = [], [], 0
    for number in range(rounds + 1):
        pairs = [(_import("jwt"), _import(_AUTHORIZER)) for _ in range(_IMPORTS_PER_ROUND)]
        heavy = max(heavy, *(modules for _, (_, modules) in pairs))
        if number:  # the first brings the files into the page cache
            reference.append(median(took_ms for (took_ms, _), _ in pairs))
            ours.append(median(took_ms for _, (took_ms, _) in pairs))
    return judge(_IMPORT, ours, reference, {"aws_and_pydantic_modules": heavy}, _machine())


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
    return judge(_WARM, ours, reference, {"fetches": len(fetches)}, _machine())


def _token(key: rsa.RSAPrivateKey) -> str:
    """Return a token as an issuer makes it, with the claims that it has beside those that count."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": "https://id.test", "aud": "fleetgrass", "sub": "ada", "azp": "console", "jti": "token-1",
        "iat": now, "nbf": now, "exp": now + _LIFETIME_S, "roles": ["Fleet.Operator"], "scp": "Fleet.Access",
        "name": "Ada Lovelace", "preferred_username": "ada@example.com", "ver": "2.0",
    }  # fmt: skip
    return jwt.encode(claims, key, "RS256", {"kid": "k1"})


def _import(module: str) -> tuple[float, int]:
    """Return the milliseconds, and how many of the heavy packages a new process has loaded after it."""
    program = (
        "import sys, time\n"
        "began = time.perf_counter()\n"
        f"import {module}\n"
        "took = time.perf_counter() - began\n"
        f"print(took * 1000, sum(name in sys.modules for name in {_HEAVY!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise BenchFailed(f"import {module}: {done.stderr.strip()[-400:]}")
    took_ms, heavy = done.stdout.split()
    return float(took_ms), int(heavy)


def _each_us(call: Callable[[], bool]) -> float:
    began = time.perf_counter()
    for _ in range(_PER_ROUND):
        call()
    return (time.perf_counter() - began) / _PER_ROUND * 1e6


def _machine() -> Machine:
    return Machine(os.cpu_count() or 1, round(os.getloadavg()[0], 1), "none")
