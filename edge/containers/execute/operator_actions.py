"""Operator actions on one application (restart, logs), apart from its desired state."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from math import ceil

from edge.containers.plan.app_snapshot import AppSnapshot
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
Ended = Callable[[ActionRefusal | None], None]
#: Called once, on the reconciler's thread, with the lines, oldest first.
Heard = Callable[[Sequence[str] | ActionRefusal], None]


class Requests:
    """What was asked and has not ended; owned by the reconciler's thread, ``ended`` comes from workers."""

    def __init__(self, engine: Engine, workers: Workers, ended: Callable[[], None]) -> None:
        self._engine, self._workers, self._ended = engine, workers, ended
        self._restarts: dict[str, Ended] = {}
        self._readings: list[tuple[Future[tuple[str, ...]], Heard]] = []

    def restarting(self, application: str, ended: Ended) -> None:
        """Remember whom to tell that a restart ended."""
        self._restarts[application] = ended

    def restarted(self, application: str, error: BaseException | None) -> None:
        """Report the outcome of a restart to its caller."""
        ended = self._restarts.pop(application, None)
        if ended is not None:
            ended(None if error is None else _refusal(error))

    def read(self, container_id: str, lines: int, secret_values: Sequence[str], heard: Heard) -> None:
        """Begin to read the last lines of a container's output, without its ``secret_values``."""
        reading = self._workers.submit(lambda: self._engine.last_lines(container_id, lines, secret_values))
        self._readings.append((reading, heard))
        reading.add_done_callback(lambda _: self._ended())

    def collect(self) -> None:
        """Tell what was read since the last call."""
        done = [each for each in self._readings if each[0].done()]
        self._readings = [each for each in self._readings if not each[0].done()]
        for reading, heard in done:
            error = reading.exception()
            heard(reading.result() if error is None else _refusal(error))


def _refusal(error: BaseException) -> ActionRefusal:
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
