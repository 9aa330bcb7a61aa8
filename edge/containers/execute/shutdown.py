"""Orderly stop of all applications before a reboot: dependents first, within one time bound.

Only applications that the agent starts again however they ended: for the others (``on-failure``, ``no``) the
exit status says whether their work is done, so they are left to the engine's own shutdown. No failure here
delays the reboot.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from graphlib import TopologicalSorter
from math import ceil, floor

from contract.applications import Application
from edge.containers.execute.background_steps import STOPS
from edge.containers.execute.executor import Executor
from edge.containers.model.observed import ContainerPair, Observed, pairs
from edge.containers.plan.steps import Stop, describe
from edge.defaults import REBOOT_STOP_S
from edge.ports.clock import Clock
from edge.ports.engine_errors import EngineError
from edge.ports.workers import Workers

log = logging.getLogger(__name__)


def to_stop(pair: ContainerPair) -> list[Observed]:
    """Return the containers of an application that are to be stopped."""
    return [
        each
        for each in (pair.current, pair.previous)
        if each is not None and each.alive and each.supervision.restart == "unless-stopped"
    ]


class Shutdown:
    """Stops everything in workers; ``ended`` is called from one of them when it is over."""

    def __init__(
        self,
        executor: Executor,
        clock: Clock,
        workers: Callable[[str, int], Workers],
        ended: Callable[[], None],
    ) -> None:
        self._executor, self._clock, self._ended = executor, clock, ended
        self._overseer, self._stoppers = workers("shutdown", 1), workers("last-stop", STOPS)

    def begin(
        self, wanted: Sequence[Application], background: Mapping[str, "Future[None]"]
    ) -> "Future[None]":
        """Return what is done when all have stopped, could not be stopped, or REBOOT_STOP_S are over.

        ``background``: by application, its start or stop that must end first.
        """
        until_s = self._clock.monotonic() + REBOOT_STOP_S
        stop = self._overseer.submit(lambda: self._stop_all(wanted, background, until_s))
        stop.add_done_callback(lambda _: self._ended())
        return stop

    def close(self) -> None:
        """Begin nothing more."""
        for workers in (self._overseer, self._stoppers):
            workers.close()

    def _stop_all(
        self, wanted: Sequence[Application], background: Mapping[str, "Future[None]"], until_s: float
    ) -> None:
        try:
            found = pairs(self._executor.engine.containers(self._executor.thing), self._executor.thing)
        except EngineError as error:
            log.warning("applications are not stopped before the reboot: code=%s", error.code)
            return
        dependents: dict[str, set[str]] = {application: set() for application in found}
        for each in wanted:
            for dependency in each.depends_on:
                dependents.setdefault(dependency.application, set()).add(each.name)
        stops: dict[str, list[Future[None]]] = {}
        # A stop waits only for ones that come before it here, so however few workers there are, all end.
        for application in TopologicalSorter(dependents).static_order():
            first = [stop for dependent in dependents.get(application, ()) for stop in stops[dependent]]
            first += [background[application]] if application in background else []
            stops[application] = [
                self._stoppers.submit(partial(self._stop, application, container, first, until_s))
                for container in to_stop(found.get(application, ContainerPair()))
            ]
        wait([stop for each in stops.values() for stop in each], self._left_s(until_s))

    def _stop(
        self, application: str, container: Observed, first: Sequence["Future[None]"], until_s: float
    ) -> None:
        wait(first, self._left_s(until_s))
        grace_s = min(ceil(container.supervision.stop_grace_s), floor(self._left_s(until_s)))
        step = Stop(application, container.id, grace_s, "the machine is about to reboot")
        if grace_s < min(1, container.supervision.stop_grace_s):
            log.warning("no time left before the reboot: %s", describe(step))
            return  # the engine's own shutdown is kinder than a kill
        log.info('step: %s reason="%s"', describe(step), step.reason)
        try:
            self._executor.apply(step)
        except EngineError as error:
            log.warning("step failed: %s code=%s", describe(step), error.code)

    def _left_s(self, until_s: float) -> float:
        return max(0.0, until_s - self._clock.monotonic())
