"""Background steps: starts, stops and restarts, one per application at a time."""

from collections.abc import Callable, Mapping, Set
from concurrent.futures import Future

from contract.defaults import APPLICATIONS_MAX
from edge.background import Background
from edge.containers.execute.executor import Executor
from edge.containers.plan.steps import Restart, Start, Stop
from edge.ports.workers import Workers

STARTS = 8  # at a time: more only wait for each other in the engine
STOPS = APPLICATIONS_MAX  # all at once: each may take its whole grace, and so they take one together


class BackgroundSteps:
    """Begins steps in workers and tells what has ended; owned by the reconciler's thread.

    ``ended`` is called from workers.
    """

    def __init__(
        self, executor: Executor, workers: Callable[[str, int], Workers], ended: Callable[[], None]
    ) -> None:
        self._executor = executor
        self._starters, self._stoppers = workers("start", STARTS), workers("stop", STOPS)
        self._steps: Background[Start | Stop | Restart, None] = Background(ended)

    @property
    def busy(self) -> Set[str]:
        """The applications with a step under way."""
        return {step.application for step in self._steps.running}

    def begin(self, step: Start | Stop | Restart) -> bool:
        """Hand the step to a worker; return whether it has ended."""
        workers = self._starters if isinstance(step, Start) else self._stoppers
        return self._steps.start(step, workers, lambda: self._executor.apply(step))

    def withdraw(self) -> Mapping[str, "Future[None]"]:
        """Take back the starts and stops that have not begun; return, by application, what has.

        A restart by command is not taken back, because its sender waits for the outcome.
        """
        begun = {}
        for step in list(self._steps.running):
            call = self._steps.running[step] if isinstance(step, Restart) else self._steps.cancel(step)
            if call is not None:
                begun[step.application] = call
        return begun

    def finished(self) -> list[tuple[Start | Stop | Restart, BaseException | None]]:
        """Return ``(step, error)`` of every step that ended since the last call."""
        return [(step, call.exception()) for step, call in self._steps.finished()]

    def close(self) -> None:
        """Begin nothing more. What is under way on the engine goes on there."""
        for workers in (self._starters, self._stoppers):
            workers.close()
