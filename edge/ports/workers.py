"""Port to workers that carry out long tasks."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Workers(Protocol):
    """Worker threads: they carry out calls, later or at once."""

    def submit(self, call: Callable[[], Result], /) -> "Future[Result]":
        """Return the future outcome of ``call``. Raises RuntimeError where it can never be carried out."""

    def close(self) -> None:
        """Begin nothing more; calls that have begun go on."""
