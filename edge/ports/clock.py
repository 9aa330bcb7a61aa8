"""Port to a machine's clocks."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Return seconds since some fixed moment of this boot; never goes back, also while suspended."""

    def now(self) -> datetime:
        """Return this machine's idea of the date, in UTC; it may be years off and may jump."""
