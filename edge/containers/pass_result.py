"""The result of one pass of the reconciler, in the words of the report."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from contract.reports import ApplicationStatus
from contract.wire import complaint
from edge.containers.model.observed import ContainerPair
from edge.containers.plan.app_snapshot import AppSnapshot, Wait
from edge.containers.plan.convergence import is_converged
from edge.containers.plan.retry_policy import INTERNAL_ERROR
from edge.containers.plan.snapshot import Snapshot
from edge.containers.plan.status import state, status
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


def pass_result(
    snapshot: Snapshot, waiting: Mapping[str, Wait], *, settled: bool, engine: str, next_look_s: float
) -> Pass:
    """Return how things stand; ``waiting`` says by application why it is not further.

    ``engine`` is its version, or ENGINE_UNAVAILABLE.
    """
    views = snapshot.applications
    return Pass(
        statuses=tuple(
            _status(view, waiting.get(view.application))
            for view in views
            if view.wanted is not None or view.pair != ContainerPair()
        ),
        settled=settled,
        converged=settled and is_converged(views),
        critical=any(view.critical for view in views),
        locked=bool(snapshot.locked),
        engine=engine,
        next_look_s=next_look_s,
    )


def _status(view: AppSnapshot, wait: Wait | None) -> ApplicationStatus:
    """Return what to say of an application; what the wire does not take must silence no other."""
    try:
        return status(view, wait)
    except ValidationError as error:
        log.exception("application cannot be told of: application=%s", view.application)
        return ApplicationStatus(
            name=view.application,
            state=state(view),
            code=INTERNAL_ERROR,
            message=clip(complaint(error), MESSAGE_BYTES),
        )
