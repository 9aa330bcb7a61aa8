"""Failure handling of a step: look again, try again later, or remember the failure."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge.containers.execute.backoffs import Backoffs
from edge.containers.execute.executor import Executor
from edge.containers.execute.image_fetches import ImageFetches
from edge.containers.model.observed import is_ours
from edge.containers.model.trial import Failure
from edge.containers.observer import Observer
from edge.containers.plan.retry_policy import Backoff, after, failure_of, is_contended
from edge.containers.plan.steps import Create, Fetch, SetAside, Step, describe
from edge.containers.store.trials import TrialRecords
from edge.ports.clock import Clock
from edge.ports.engine import Engine
from edge.ports.engine_errors import ContainerGone, EngineError, ImageMissing, NameTaken, PortTaken
from edge.ports.state import StateUnwritable

log = logging.getLogger(__name__)
REMEMBER_AGAIN_S = 5.0  # a failure that could not be written is one again after this


@dataclass(frozen=True, slots=True)
class FailureHandler:
    """Carries the decisions of ``plan.retry_policy`` out; owned by the reconciler's thread."""

    engine: Engine
    thing: str
    observer: Observer
    records: TrialRecords
    backoffs: Backoffs
    images: ImageFetches
    clock: Clock
    jitter: Callable[[], float]

    def handle(self, step: Step, error: BaseException) -> bool:
        """Hold the step's application back, or remember that it failed; whether to look again at once."""
        if isinstance(error, ContainerGone):
            return True
        failure = failure_of(error)
        log.warning("step failed: %s code=%s message=%s", describe(step), failure.code, failure.message)
        name, now = step.application, self.clock.monotonic()
        if isinstance(error, ImageMissing) and isinstance(step, Create):
            self.images.forget(step.wanted.image)
        if isinstance(error, NameTaken) and self._holder_is_ours(step):
            return True
        fetching = isinstance(step, Fetch)
        application = self.observer.application(name)
        verdict = after(
            step,
            failure,
            application,
            tries=self.backoffs.tries(name, fetching=fetching) + 1,
            contended=isinstance(error, PortTaken) and is_contended(application.wanted, self.observer.pairs),
            monotonic=now,
            jitter=self.jitter,
        )
        if isinstance(verdict, Failure):
            try:
                self.records.failed(name, verdict)
            except StateUnwritable:
                verdict = Backoff(now + REMEMBER_AGAIN_S, 1, failure)
            else:
                self.backoffs.lift(name, fetching=fetching)
                return True
        self.backoffs.put(name, verdict, fetching=fetching)
        return False

    def _holder_is_ours(self, step: Step) -> bool:
        """Whether the name that was taken belongs to a container of ours, which the next look will show."""
        if not isinstance(step, Create | SetAside):
            return False
        try:
            labels = self.engine.labels_of(Executor.name_after(step, self.thing))
        except EngineError:
            return False
        return labels is None or is_ours(labels, self.thing)
