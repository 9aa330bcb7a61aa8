"""The cloud's clock and source of ids, passed as parameters so that tests can choose them."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from contract.names import identifier

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time, aware and in UTC."""
    return datetime.now(UTC)


def new_id(prefix: str, now: datetime) -> str:
    """Return a fresh identifier that sorts by ``now``."""
    return identifier(prefix, unix_ms=int(now.timestamp() * 1000), random80=secrets.randbits(80))
