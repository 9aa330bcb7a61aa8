"""Idempotency of a POST: the caller's Idempotency-Key, with a fingerprint of the request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Idempotency:
    """``key`` identifies the caller's Idempotency-Key (64 hex digits); ``fingerprint`` its request."""

    key: str
    fingerprint: str


class KeyReused(Exception):
    """The key was used before with a different request."""

    code = "idempotency-key-reused"


#: An answer is repeated for this long, from its first on; a client that retries later asks anew.
KEPT_S = 24 * 3600
