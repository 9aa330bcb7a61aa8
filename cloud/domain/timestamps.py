"""Timestamps of rows: whole Unix milliseconds, rounded down, so that every one can be read again."""

from datetime import UTC, datetime, timedelta

LATEST_MS = 253_370_764_800_000  # the year 9999; later ones are no dates
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(at: datetime) -> int:
    """Return the milliseconds of an aware time."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def from_ms(ms: int) -> datetime:
    """Return the time, in UTC."""
    return _EPOCH + timedelta(milliseconds=ms)
