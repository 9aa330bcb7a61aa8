"""Port to workers that carry out long tasks."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Workers(Protocol):
    """Worker threads: they carry out calls, later or at once."""

    def submit(self, call: Callable[[], Result], /) -> "Future[Result]":
        """Return the future outcome of ``call``. Raises RuntimeError where nobody can ever carry it out."""

    def close(self) -> None:
        """Begin nothing more; what has begun is left to itself."""
