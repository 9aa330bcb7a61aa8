"""Seeing containers over time: since when they run, and what their HTTP checks answer."""

import http.client
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from contract.desired import HttpHealthCheck
from edge.clock import Clock
from edge.containers.health import Sighting
from edge.containers.naming import Observed, Pair
from edge.containers.workers import Workers
from edge.engine.errors import ContainerGone
from edge.engine.port import Course, Engine

#: Until the first good answer the check is asked this often, if its own interval is longer.
FIRST_ANSWER_POLL_S = 1.0
#: ``(address, port, path, timeout_s)`` → the HTTP status, or OSError.
Ask = Callable[[str, int, str, float], int]


def ask(address: str, port: int, path: str, timeout_s: float) -> int:
    """Return the status that ``GET http://address:port/path`` answers; follows no redirect.

    Raises:
        OSError: no answer within ``timeout_s``, or none that is HTTP.
    """
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"User-Agent": "fleetgrass", "Connection": "close"})
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise OSError(f"not an HTTP answer: {type(error).__name__}") from error
    finally:
        connection.close()


@dataclass(slots=True)
class _Watch:
    """What is kept of one container; ``None`` until it happened."""

    window_from: float | None = None
    steady_from: float = 0.0
    course: Course = field(default_factory=Course)
    asking: "Future[int] | None" = None
    ask_at: float = 0.0
    answered: bool = False
    refusals: int = 0
    answer: str = ""


class Watching:
    """What was seen of each application's container in place; owned by the reconciler's thread.

    Starts anew with the process: a trial that an agent's death interrupted gets its whole window again.
    """

    def __init__(
        self, engine: Engine, clock: Clock, workers: Workers, ask: Ask, told: Callable[[], None]
    ) -> None:
        self._engine, self._clock, self._workers, self._ask, self._told = engine, clock, workers, ask, told
        self._watches: dict[str, _Watch] = {}

    def look(self, pairs: Mapping[str, Pair], on_trial: Callable[[str], str | None]) -> None:
        """Take note of what is there now. ``on_trial`` names the specification that an application tries.

        Raises EngineUnavailable. One engine request per container on trial, none otherwise.
        """
        seen = {pair.current.id for pair in pairs.values() if pair.current}
        self._watches = {each: watch for each, watch in self._watches.items() if each in seen}
        for application, pair in pairs.items():
            if pair.current is not None:
                watch = self._watches.setdefault(pair.current.id, _Watch())
                self._run(pair.current, watch, trial=pair.current.spec == on_trial(application))
                self._check(pair.current, watch)

    def sighting(self, observed: Observed | None) -> Sighting:
        """Return what was seen of a container until now."""
        watch = self._watches.get(observed.id) if observed else None
        if watch is None or watch.window_from is None:
            return Sighting()
        now = self._clock.monotonic()
        return Sighting(
            window_s=now - watch.window_from,
            steady_s=now - watch.steady_from,
            course=watch.course,
            answered=watch.answered,
            refusals=watch.refusals,
            answer=watch.answer,
        )

    def next_check_s(self) -> float | None:
        """Return seconds until the next HTTP check is due; None when there is none to make."""
        due = [watch.ask_at for watch in self._watches.values() if watch.ask_at and watch.asking is None]
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    def _run(self, observed: Observed, watch: _Watch, *, trial: bool) -> None:
        if observed.container.state == "created":
            return
        now = self._clock.monotonic()
        if watch.window_from is None:
            watch.window_from = watch.steady_from = now
        if trial:
            try:
                course = self._engine.course(observed.id)
            except ContainerGone:
                return
            if course.started_at != watch.course.started_at:
                watch.steady_from = now
            watch.course = course

    def _check(self, observed: Observed, watch: _Watch) -> None:
        check = observed.supervision.health_check
        address = observed.container.address
        if not isinstance(check, HttpHealthCheck):
            return
        if observed.container.state != "running" or address is None:
            watch.ask_at = 0.0
            return
        if watch.asking is not None and watch.asking.done():
            self._note(watch, check, watch.asking)
            watch.asking = None
        if watch.asking is None and self._clock.monotonic() >= watch.ask_at:
            pace = check.interval_s if watch.answered else min(check.interval_s, FIRST_ANSWER_POLL_S)
            watch.ask_at = self._clock.monotonic() + pace
            watch.asking = self._workers.submit(
                lambda: self._ask(address, check.port, check.path, check.timeout_s)
            )
            if watch.asking.done():
                self._note(watch, check, watch.asking)
                watch.asking = None
            else:
                watch.asking.add_done_callback(lambda _: self._told())

    def _note(self, watch: _Watch, check: HttpHealthCheck, asked: "Future[int]") -> None:
        error = asked.exception()
        if error is None and 200 <= asked.result() < 400:
            watch.answered, watch.refusals, watch.answer = True, 0, ""
            return
        watch.refusals += 1
        said = f"answered {asked.result()}" if error is None else f"did not answer ({error})"
        watch.answer = f"GET {check.path} on port {check.port} {said}"
