"""Backoffs: the failed steps that wait for their next try; owned by the reconciler's thread."""

from collections.abc import Callable, Collection, Iterator

from edge.containers.plan.retry_policy import Backoff
from edge.containers.plan.steps import Fetch, Step


class Backoffs:
    """The backoffs in force: per application one on what it fetches, and one on everything else it does."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._backoffs: dict[tuple[str, bool], Backoff] = {}

    def __bool__(self) -> bool:
        return bool(self._backoffs)

    def put(self, application: str, backoff: Backoff, *, fetching: bool) -> None:
        """Let no such step of the application begin before the backoff ends."""
        self._backoffs[application, fetching] = backoff

    def lift(self, application: str, *, fetching: bool) -> None:
        """Forget the backoff: what it was for went well, or is given up."""
        self._backoffs.pop((application, fetching), None)

    def lift_all(self) -> None:
        """Forget every backoff: something else is wanted now."""
        self._backoffs.clear()

    def tries(self, application: str, *, fetching: bool) -> int:
        """Return how often the step has failed so far."""
        backoff = self._backoffs.get((application, fetching))
        return backoff.tries if backoff else 0

    def is_blocked(self, application: str, *, fetching: bool) -> bool:
        """Whether the next try is not due."""
        backoff = self._backoffs.get((application, fetching))
        return backoff is not None and self._monotonic() < backoff.until

    def latest(self, application: str) -> Backoff | None:
        """Return the one to tell of."""
        return self._backoffs.get((application, False)) or self._backoffs.get((application, True))

    def waits_s(self) -> Iterator[float]:
        """Yield seconds until each ends."""
        for backoff in self._backoffs.values():
            yield max(0.0, backoff.until - self._monotonic())

    def drop_without(self, steps: list[Step], *, fetching: Collection[str], busy: Collection[str]) -> None:
        """Forget failures that nothing will be tried for again: their cause went away by itself.

        ``fetching`` and ``busy`` are the applications with a fetch, or another step, under way.
        """
        trying = {(step.application, isinstance(step, Fetch)) for step in steps}
        for key, backoff in list(self._backoffs.items()):
            runs = key[0] in (fetching if key[1] else busy)
            if self._monotonic() >= backoff.until and key not in trying and not runs:
                del self._backoffs[key]
