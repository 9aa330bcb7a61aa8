"""Retry policy of a failed step: another try later, or giving up. Pure. (Rule 26 of failure-semantics.)"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contract.applications import Application
from contract.reports import NO_CREDENTIALS
from edge.backoff import backoff_s
from edge.containers.model.errors import SecretsUnavailable
from edge.containers.model.image_references import CredentialsUnavailable
from edge.containers.model.observed import ContainerPair
from edge.containers.model.trial import Failure
from edge.containers.plan.app_snapshot import AppSnapshot
from edge.containers.plan.steps import Create, InspectImage, Pull, SetAside, Start, Step
from edge.defaults import CREDENTIALS_BACKOFF_MAX_S, RETRY_BACKOFF_FIRST_S, RETRY_BACKOFF_MAX_S
from edge.ports.engine_errors import EngineError, Retry
from edge.ports.state import StateUnwritable

#: Tries at what the engine refuses without a plain no; with the back-off they span 75 seconds and more.
ENGINE_TRIES = 5
#: Between looks at an engine that answers one request and not the next, and at a port that another
#: application of ours is about to give up.
SHORT_HOLD_S = 1.0
INTERNAL_ERROR = "internal-error"  # a fault of ours; the agent's log has the traceback


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A failure, in the words of the report."""

    code: str
    message: str
    retry: Retry


@dataclass(frozen=True, slots=True)
class Backoff:
    """Not before ``until`` (monotonic) again; ``tries`` have failed so far."""

    until: float
    tries: int
    failure: StepFailure


def failure_of(error: BaseException) -> StepFailure:
    """Return the failure that an error means, wherever it was raised."""
    match error:
        case EngineError():
            return StepFailure(error.code, str(error), error.retry)
        case CredentialsUnavailable() | SecretsUnavailable() | StateUnwritable():
            return StepFailure(error.code, str(error), "forever")
        case _:
            return StepFailure(INTERNAL_ERROR, type(error).__name__, "finitely")


def is_contended(wanted: Application | None, pairs: Mapping[str, ContainerPair]) -> bool:
    """Whether another application of ours publishes a host port that ``wanted`` asks for."""
    if wanted is None:
        return False
    asked = {(port.protocol, port.host_port) for port in wanted.ports}
    return any(
        (port.protocol, port.host_port) in asked
        for name, pair in pairs.items()
        if name != wanted.name
        for each in (pair.current, pair.previous)
        if each is not None
        for port in each.container.ports
    )


def after(
    step: Step,
    failure: StepFailure,
    view: AppSnapshot,
    *,
    tries: int,
    contended: bool,
    monotonic: float,
    jitter: Callable[[], float],
) -> Backoff | Failure:
    """Return when to try again after ``step`` failed for the ``tries``-th time, or the failure to remember.

    Only what brings a new specification up can be given up: what stops, removes or brings back has
    no alternative, and is tried for ever. ``contended``: another application of ours has the port.
    """
    if _is_over(step, failure, view, tries, contended=contended) and view.wanted is not None:
        working = view.pair.previous or view.proven
        return Failure(
            spec=view.spec,
            deployment_id=view.deployment_id,
            code=failure.code,
            reason=failure.message,
            from_image=view.wanted.image,
            to_image=working.image if working else None,
        )
    short = contended or failure.code == "engine-unavailable"
    most_s = CREDENTIALS_BACKOFF_MAX_S if failure.code == NO_CREDENTIALS else RETRY_BACKOFF_MAX_S
    return Backoff(monotonic + (SHORT_HOLD_S if short else wait_s(tries, jitter(), most_s)), tries, failure)


def wait_s(tries: int, jitter: float, most_s: float = RETRY_BACKOFF_MAX_S) -> float:
    """Return seconds to wait after ``tries`` failures: doubling from 5 s to ``most_s``, less up to a half.

    ``jitter`` is 0 to 1; it only shortens, so that a fleet cut off at once does not return at once.
    """
    return backoff_s(tries, RETRY_BACKOFF_FIRST_S, most_s) * (1 - jitter / 2)


def _is_over(step: Step, failure: StepFailure, view: AppSnapshot, tries: int, *, contended: bool) -> bool:
    if view.gave_up or failure.retry == "forever":
        return False
    match step:
        case Pull() | InspectImage():
            return failure.retry == "never" or tries >= ENGINE_TRIES
        case SetAside():
            return failure.code == "name-taken" or tries >= ENGINE_TRIES
        case Create() | Start() if view.on_trial or isinstance(step, Create):
            if failure.code == "name-taken" or failure.retry == "never":
                return True
            if contended and view.wanted is not None:
                return tries * SHORT_HOLD_S >= view.wanted.healthy_window_s
            # With the old one stopped there is no time to lose; without one there is all of it.
            return view.pair.previous is not None or tries >= ENGINE_TRIES
        case _:
            return False
