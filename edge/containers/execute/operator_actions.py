"""Operator actions on one application (restart, logs), apart from its desired state."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from edge.background import Background
from edge.containers.model.trial import Failure
from edge.containers.plan.app_snapshot import AppSnapshot
from edge.containers.plan.dependencies import DEPENDENCY_FAILED
from edge.containers.plan.retry_policy import failure_of
from edge.containers.plan.steps import Restart
from edge.ports.engine import Engine
from edge.ports.workers import Workers


@dataclass(frozen=True, slots=True)
class ActionRefusal:
    """Why something was not done; ``code`` names the rule or the error."""

    code: str
    message: str


UNKNOWN = ActionRefusal("application-unknown", "this device has no container of that name")

#: Called once, on the reconciler's thread: None when it was done.
OnRestarted = Callable[[ActionRefusal | None], None]
#: Called once, on the reconciler's thread, with the lines, oldest first.
OnLines = Callable[[Sequence[str] | ActionRefusal], None]


class OperatorActions:
    """The actions that have not ended; owned by the reconciler's thread, ``ended`` is called from workers."""

    def __init__(self, engine: Engine, workers: Workers, ended: Callable[[], None]) -> None:
        self._engine, self._workers = engine, workers
        self._restarts: dict[str, OnRestarted] = {}
        self._readings: Background[OnLines, Sequence[str]] = Background(ended)

    def restarting(self, application: str, on_restarted: OnRestarted) -> None:
        """Remember whom to tell that a restart ended."""
        self._restarts[application] = on_restarted

    def restarted(self, application: str, error: BaseException | None) -> None:
        """Report the outcome of a restart to its caller."""
        on_restarted = self._restarts.pop(application, None)
        if on_restarted is not None:
            on_restarted(None if error is None else refusal_of(error))

    def read(self, container_id: str, lines: int, secret_values: Sequence[str], on_lines: OnLines) -> None:
        """Begin to read the last lines of a container's output, without its ``secret_values``."""
        self._readings.start(
            on_lines, self._workers, lambda: self._engine.last_lines(container_id, lines, secret_values)
        )

    def take_in_finished(self) -> None:
        """Hand on what was read since the last call."""
        for on_lines, reading in self._readings.finished():
            error = reading.exception()
            on_lines(reading.result() if error is None else refusal_of(error))


def refusal_of(error: BaseException) -> ActionRefusal:
    """Return the refusal that an error means."""
    failure = failure_of(error)
    return ActionRefusal(failure.code, failure.message)


def restart(view: AppSnapshot, *, locked: bool) -> Restart | ActionRefusal:
    """Return the step that starts an application's container again, or why not now. Pure."""
    current = view.pair.current
    if current is None:
        return UNKNOWN
    if view.busy or view.critical or view.pair.previous is not None:
        return ActionRefusal("update-in-progress", "its container is being started, stopped or replaced")
    if view.held:
        return ActionRefusal("not-now", "it waits for its next try, or this device is not managed")
    if locked:
        return ActionRefusal("locked", "it holds its update lock; send it again, or with force")
    return Restart(view.application, current.id, ceil(current.supervision.stop_grace_s), "asked for")


def retried_with(application: str, failures: Mapping[str, Failure | None], *, atomic: bool) -> list[str]:
    """Return the application, and those that failed only because of another. Pure.

    ``failures``: of every wanted application, by name; all of an ``atomic`` deployment go together.
    """
    return [
        name
        for name, failure in failures.items()
        if atomic or name == application or (failure is not None and failure.code == DEPENDENCY_FAILED)
    ]
