"""Which failed steps wait for their next try; owned by the reconciler's thread."""

from collections.abc import Callable, Collection, Iterator

from edge.containers.plan.retry_policy import Hold
from edge.containers.plan.steps import Fetch, Step


class Holds:
    """The holds in force: per application one on what it fetches, and one on everything else it does."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._holds: dict[tuple[str, bool], Hold] = {}

    def __bool__(self) -> bool:
        return bool(self._holds)

    def put(self, application: str, hold: Hold, *, fetching: bool) -> None:
        """Let no such step of the application begin before the hold ends."""
        self._holds[application, fetching] = hold

    def lift(self, application: str, *, fetching: bool) -> None:
        """Forget the hold: what it was for went well, or is given up."""
        self._holds.pop((application, fetching), None)

    def lift_all(self) -> None:
        """Forget every hold: something else is wanted now."""
        self._holds.clear()

    def tries(self, application: str, *, fetching: bool) -> int:
        """Return how often the step has failed so far."""
        hold = self._holds.get((application, fetching))
        return hold.tries if hold else 0

    def holds(self, application: str, *, fetching: bool) -> bool:
        """Whether the next try is not due."""
        hold = self._holds.get((application, fetching))
        return hold is not None and self._monotonic() < hold.until

    def latest(self, application: str) -> Hold | None:
        """Return the hold to tell of."""
        return self._holds.get((application, False)) or self._holds.get((application, True))

    def waits_s(self) -> Iterator[float]:
        """Yield seconds until each hold ends."""
        for hold in self._holds.values():
            yield max(0.0, hold.until - self._monotonic())

    def drop_without(self, steps: list[Step], *, fetching: Collection[str], busy: Collection[str]) -> None:
        """Forget failures that nothing will be tried for again: their cause went away by itself.

        ``fetching`` and ``busy`` are the applications with a fetch, or another step, under way.
        """
        trying = {(step.application, isinstance(step, Fetch)) for step in steps}
        for key, hold in list(self._holds.items()):
            under_way = key[0] in (fetching if key[1] else busy)
            if self._monotonic() >= hold.until and key not in trying and not under_way:
                del self._holds[key]
