"""Exponential backoff: the wait before the next try. Pure; the caller spreads it over a fleet."""


def backoff_s(failures: int, first_s: float, most_s: float) -> float:
    """Return seconds to wait after ``failures`` in a row: ``first_s``, doubling to ``most_s``."""
    return min(first_s * 2.0 ** min(failures - 1, 30), most_s)
