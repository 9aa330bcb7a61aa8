"""What one round left behind, in the words of the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contract.reports import ApplicationStatus
from edge.clock import Clock
from edge.containers.deferring import Deferral
from edge.containers.holds import Holds
from edge.containers.naming import Pair
from edge.containers.setbacks import Setback
from edge.containers.standing import is_converged
from edge.containers.status import status
from edge.containers.ties import DEPENDENCY_NOT_READY, Ties
from edge.containers.view import View

ENGINE_UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Pass:
    """What one round found and left behind."""

    statuses: tuple[ApplicationStatus, ...]  # the document's order, then others of ours
    settled: bool  # nothing is under way or about to change by itself
    converged: bool  # and every wanted application runs, or ended well, as it is wanted
    critical: bool  # some application is between "old stopped" and "new running"
    engine: str  # its version, or "unavailable"
    next_look_s: float | None  # look again after this, even if nothing happens
    locked: bool = False  # some application holds its update lock


@dataclass(frozen=True, slots=True)
class Delay:
    """Why an application is not further, and when it will be tried again, if anybody knows."""

    setback: Setback
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delays:
    """What holds applications back: their failures, a lock or a window, others that they depend on."""

    holds: Holds
    waiting: Mapping[str, Deferral]  # by application
    tied: Ties
    clock: Clock

    def of(self, view: View) -> Delay | None:
        """Return the first of them to tell of."""
        hold = self.holds.latest(view.application)
        if hold is not None:
            wait_s = max(0.0, hold.until - self.clock.monotonic())
            return Delay(hold.setback, self.clock.now() + timedelta(seconds=wait_s))
        waits = self.waiting.get(view.application)
        if waits is not None:
            return Delay(Setback(waits.code, waits.message, "forever"), waits.until)
        awaited = self.tied.awaited(view)
        if awaited is not None:
            return Delay(Setback(DEPENDENCY_NOT_READY, f"waits for {awaited}", "forever"))
        return None


def outcome(
    views: Sequence[View],
    delay: Callable[[View], Delay | None],
    *,
    settled: bool,
    locked: bool,
    engine: str,
    next_look_s: float,
) -> Pass:
    """Return how things stand; ``engine`` is its version, or ENGINE_UNAVAILABLE."""
    statuses = []
    for view in views:
        if view.wanted is not None or view.pair != Pair():
            why = delay(view)
            statuses.append(status(view, why.setback if why else None, why.until if why else None))
    return Pass(
        statuses=tuple(statuses),
        settled=settled,
        converged=settled and is_converged(views),
        critical=any(view.critical for view in views),
        locked=locked,
        engine=engine,
        next_look_s=next_look_s,
    )
