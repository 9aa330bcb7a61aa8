"""An attack, beside the honest token that it was made of."""

import base64
from dataclasses import dataclass, field
from typing import Any

from tests.support.cloud.tokens import HEADER, KEY, SECOND, bearer, changed, jwk, token

HONEST = token()
OF_SECOND: dict[str, Any] = {"iss": SECOND.issuer, "aud": "fleet-api"}
H, P, S = HONEST.split(".")
MODULUS = base64.urlsafe_b64decode(jwk(KEY, "k1")["n"] + "==")


@dataclass(frozen=True)
class Attack:
    """Headers that must be refused for the reason ``code``, and the honest token they were made from."""

    headers: dict[str, Any]
    code: str
    honest: str = HONEST
    keys: list[Any] = field(default_factory=list)  # that the issuer publishes beside its own


ATTACKS: dict[str, Attack] = {}


def attack(name: str, forged: str, code: str, honest: str = HONEST, keys: list[Any] | None = None) -> None:
    assert name not in ATTACKS, name
    ATTACKS[name] = Attack(bearer(forged), code, honest, keys or [])


def header(**changes: Any) -> dict[str, Any]:
    return changed(HEADER, changes)


def said(before: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """``before`` with a member that may be null."""
    return {**before, name: value}
