"""ECR authorization tokens that carry their own age, so that the registry proxy can judge them alone.

The emulator's token is always the same constant; with it a proxy could neither expire a token nor tell that a
client asked for a new one. Ours are signed with a key that the launcher and the proxy share.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

LIFETIME_S = 12 * 3600  # as ECR's (API reference, GetAuthorizationToken)


@dataclass(frozen=True, slots=True)
class RegistryToken:
    """Issue and expiry time of a genuine token, in milliseconds of Unix time."""

    issued_at_ms: int
    expires_at_ms: int


def issue(key: bytes, now_ms: int) -> str:
    """Return a new password for the user ``AWS``, good for 12 hours."""
    claims = f"{now_ms}.{now_ms + LIFETIME_S * 1000}.{secrets.token_hex(8)}"
    return f"{claims}.{_signature(key, claims)}"


def read(key: bytes, password: str) -> RegistryToken | None:
    """Return what a password says of itself; None when it was not issued with ``key``."""
    claims, _, signature = password.rpartition(".")
    if not hmac.compare_digest(_signature(key, claims), signature):
        return None
    issued_at_ms, expires_at_ms, _ = claims.split(".")
    return RegistryToken(int(issued_at_ms), int(expires_at_ms))


def _signature(key: bytes, claims: str) -> str:
    return (
        base64.urlsafe_b64encode(hmac.new(key, claims.encode(), hashlib.sha256).digest()).decode().rstrip("=")
    )
