"""The result of one pass of the reconciler, in the words of the report."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from contract.reports import ApplicationStatus
from contract.wire import complaint
from edge.containers.execute.backoffs import Backoffs
from edge.containers.model.observed import ContainerPair
from edge.containers.plan.app_snapshot import AppSnapshot
from edge.containers.plan.convergence import is_converged
from edge.containers.plan.dependencies import DEPENDENCY_NOT_READY, Dependencies
from edge.containers.plan.retry_policy import INTERNAL_ERROR, StepFailure
from edge.containers.plan.status import state, status
from edge.containers.plan.update_policy import Deferral
from edge.ports.clock import Clock
from edge.text import clip

ENGINE_UNAVAILABLE = "unavailable"
MESSAGE_BYTES = 400

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """The result of one pass of the reconciler."""

    statuses: tuple[ApplicationStatus, ...]  # the document's order, then others of ours
    settled: bool  # nothing is under way or about to change by itself
    converged: bool  # and every wanted application runs, or ended well, as it is wanted
    critical: bool  # some application is between "old stopped" and "new running"
    engine: str  # its version, or "unavailable"
    next_look_s: float | None  # look again after this, even if nothing happens
    locked: bool = False  # some application holds its update lock


@dataclass(frozen=True, slots=True)
class Delay:
    """The reason why an application is not further, and the time of its next try, if it is known."""

    failure: StepFailure
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delays:
    """The reasons for delays: failures, a lock or a window, other applications that one depends on."""

    backoffs: Backoffs
    waiting: Mapping[str, Deferral]  # by application
    dependencies: Dependencies
    clock: Clock

    def of(self, view: AppSnapshot) -> Delay | None:
        """Return the first of them to tell of."""
        backoff = self.backoffs.latest(view.application)
        if backoff is not None:
            wait_s = max(0.0, backoff.until - self.clock.monotonic())
            return Delay(backoff.failure, self.clock.now() + timedelta(seconds=wait_s))
        waits = self.waiting.get(view.application)
        if waits is not None:
            return Delay(StepFailure(waits.code, waits.message, "forever"), waits.until)
        awaited = self.dependencies.awaited(view)
        if awaited is not None:
            return Delay(StepFailure(DEPENDENCY_NOT_READY, f"waits for {awaited}", "forever"))
        return None


def outcome(
    views: Sequence[AppSnapshot],
    delay: Callable[[AppSnapshot], Delay | None],
    *,
    settled: bool,
    locked: bool,
    engine: str,
    next_look_s: float,
) -> Pass:
    """Return how things stand; ``engine`` is its version, or ENGINE_UNAVAILABLE."""
    statuses = []
    for view in views:
        if view.wanted is not None or view.pair != ContainerPair():
            why = delay(view)
            statuses.append(_status(view, why))
    return Pass(
        statuses=tuple(statuses),
        settled=settled,
        converged=settled and is_converged(views),
        critical=any(view.critical for view in views),
        locked=locked,
        engine=engine,
        next_look_s=next_look_s,
    )


def _status(view: AppSnapshot, why: Delay | None) -> ApplicationStatus:
    """Return what to say of an application; what the wire does not take must silence no other."""
    try:
        return status(view, why.failure if why else None, why.until if why else None)
    except ValidationError as error:
        log.exception("application cannot be told of: application=%s", view.application)
        return ApplicationStatus(
            name=view.application,
            state=state(view),
            code=INTERNAL_ERROR,
            message=clip(complaint(error), MESSAGE_BYTES),
        )
