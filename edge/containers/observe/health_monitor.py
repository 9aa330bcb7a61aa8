"""Health monitor: each container's run time, check results and restarts, as seen over time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from contract.defaults import LAST_LINES
from edge.background import Background
from edge.containers.model.observed import ContainerPair, Observed
from edge.containers.observe.probes import Prober
from edge.containers.plan.health import (
    CALM_S,
    CRASHES,
    Condition,
    HealthHistory,
    Probed,
    condition,
    steady_enough_s,
)
from edge.containers.plan.restart_policy import RESTART_FORGET_S
from edge.ports.clock import Clock
from edge.ports.engine import ContainerRun, Engine, State
from edge.ports.engine_errors import ContainerGone, EngineError, EngineUnavailable
from edge.ports.workers import Workers

#: Until the first good answer the check is asked this often, if its own interval is longer.
FIRST_ANSWER_POLL_S = 1.0


class WatchLevel(Enum):
    """The level at which a container is watched."""

    TRIED = "tried"  # whether it keeps running decides something
    KEPT = "kept"  # it proved itself: how it went is of interest when it does not run
    IGNORED = "ignored"  # it is on its way out or changing: how it ends says nothing


@dataclass(slots=True)
class _Watch:
    """What is kept of one container; ``None`` until it happened."""

    state: State = "created"  # as the latest look showed it
    ended_by_us: bool = False
    window_from: float | None = None
    looked_at: float = 0.0
    steady_from: float = 0.0
    read_at: float = 0.0  # the run
    container_run: ContainerRun = field(default_factory=ContainerRun)
    ending: ContainerRun | None = None  # the latest one that told an exit code
    last_lines: tuple[str, ...] = ()
    crashes: int = 0
    crashed_at: float = 0.0
    probe_at: float = 0.0
    answered: bool = False
    refusals: int = 0
    answer: str = ""
    starts: int = 0  # by us: what a probe of an earlier one says does not count
    was_healthy: bool = False
    restarts: int = 0
    restarted_at: float = 0.0


class HealthMonitor:
    """The history of each application's container in place; owned by the reconciler's thread.

    ``secret_values`` returns, by specification, the values that are cut out of the container's output.
    Starts anew with the process: a trial that an agent's death interrupted gets its whole window again.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        workers: Workers,
        prober: Prober,
        ended: Callable[[], None],
        secret_values: Callable[[str], Sequence[str]],
    ) -> None:
        self._engine, self._clock, self._workers = engine, clock, workers
        self._prober, self._secret_values = prober, secret_values
        self._probes: Background[tuple[str, int], str] = Background(ended)  # by container and its start
        self._watches: dict[str, _Watch] = {}
        self._looked_at = 0.0
        self._lost_sight = False

    def look(
        self, pairs: Mapping[str, ContainerPair], watch_level: Callable[[str, Observed], WatchLevel]
    ) -> None:
        """Take note of what is there now; ``watch_level`` says how closely a container matters.

        Raises EngineUnavailable. One engine request per container that is down and should not be, or
        on trial and at a turn of it; and more when one has ended.
        """
        self._leave_out_what_nobody_saw()
        self._take_in_probes()
        seen = {pair.current.id for pair in pairs.values() if pair.current}
        self._watches = {each: watch for each, watch in self._watches.items() if each in seen}
        for application, pair in pairs.items():
            if pair.current is not None:
                watch = self._watches.setdefault(pair.current.id, _Watch())
                self._run(pair.current, watch, watch_level(application, pair.current))
                self._check(pair.current, watch)
                how = condition(pair.current, self.history(pair.current), on_trial=False)
                watch.was_healthy |= how is Condition.HEALTHY

    def lose_sight(self) -> None:
        """Take note that the engine does not answer: until the next look, time counts against no trial."""
        self._lost_sight = True

    def _leave_out_what_nobody_saw(self) -> None:
        now = self._clock.monotonic()
        if self._lost_sight:
            for watch in self._watches.values():
                if watch.window_from is not None:
                    watch.window_from += now - self._looked_at
        self._looked_at, self._lost_sight = now, False

    def history(self, observed: Observed | None) -> HealthHistory:
        """Return what was seen of a container until now."""
        watch = self._watches.get(observed.id) if observed else None
        if watch is None or watch.window_from is None:
            return HealthHistory()
        now = self._clock.monotonic()
        return HealthHistory(
            window_s=watch.looked_at - watch.window_from,
            steady_s=max(0.0, watch.read_at - watch.steady_from),
            container_run=watch.container_run,
            ending=watch.ending,
            last_lines=watch.last_lines,
            crashes=watch.crashes,
            since_crash_s=now - watch.crashed_at,
            answered=watch.answered,
            refusals=watch.refusals,
            answer=watch.answer,
            was_healthy=watch.was_healthy,
            restarts=watch.restarts,
            since_restart_s=now - watch.restarted_at,
        )

    def starting(self, container_id: str) -> None:
        """Take note that the container is being started; what was seen of it before does not count."""
        watch = self._watches.get(container_id)
        if watch is None or watch.window_from is None:
            return  # its first start
        watch.ended_by_us = False
        now = self._clock.monotonic()
        forgotten = now - watch.restarted_at > RESTART_FORGET_S
        watch.restarts = 1 if forgotten else watch.restarts + 1
        watch.restarted_at, watch.was_healthy = now, False
        watch.starts += 1
        watch.answered, watch.refusals, watch.answer, watch.probe_at = False, 0, "", 0.0

    def stopping(self, container_id: str) -> None:
        """Take note that we stop the container: how it ends is our doing, until it is started again."""
        if (watch := self._watches.get(container_id)) is not None:
            watch.ended_by_us = True

    def next_check_s(self) -> float | None:
        """Return seconds until the next check is due; None when there is none to make."""
        due = [
            watch.probe_at
            for container_id, watch in self._watches.items()
            if watch.probe_at and (container_id, watch.starts) not in self._probes.running
        ]
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    def _run(self, observed: Observed, watch: _Watch, watch_level: WatchLevel) -> None:
        before, watch.state = watch.state, observed.container.state
        if watch.state == "created":
            return
        now = self._clock.monotonic()
        if watch.window_from is None:
            watch.window_from = watch.steady_from = now
        watch.looked_at = now
        if watch.ended_by_us or not _matters(observed, watch, watch_level, before, now):
            return
        try:
            container_run = self._engine.container_run(observed.id)
            self._note_ending(observed, watch, container_run, now)
        except ContainerGone:
            return
        is_first = (
            watch.read_at == 0.0 and container_run.restarts == 0
        )  # its only start: it ran since it was seen
        has_ended = container_run.exit_code is not None  # which the list may not know yet
        if has_ended or (container_run.started_at != watch.container_run.started_at and not is_first):
            watch.steady_from = now
        watch.container_run, watch.read_at = container_run, now
        watch.ending = container_run if has_ended else watch.ending

    def _note_ending(
        self, observed: Observed, watch: _Watch, container_run: ContainerRun, now: float
    ) -> None:
        """Read what it said last, once per ending, and count how often it ended lately."""
        ending = (container_run.started_at, container_run.restarts, container_run.exit_code)
        before = (watch.container_run.started_at, watch.container_run.restarts, watch.container_run.exit_code)
        if container_run.exit_code is None or ending == before:
            return
        if now - watch.crashed_at > CALM_S:
            watch.crashes = 0
        watch.crashes, watch.crashed_at = watch.crashes + 1, now
        if container_run.exit_code != 0 or watch.crashes >= CRASHES:
            try:
                watch.last_lines = self._engine.last_lines(
                    observed.id, LAST_LINES, self._secret_values(observed.spec)
                )
            except EngineUnavailable:
                raise
            except EngineError:
                watch.last_lines = ()  # its output goes elsewhere

    def _check(self, observed: Observed, watch: _Watch) -> None:
        check = observed.supervision.health_check
        address = observed.container.address
        if not isinstance(check, Probed):
            return
        if observed.container.state != "running" or address is None:
            watch.probe_at = 0.0
            return
        probe = (observed.id, watch.starts)
        if probe not in self._probes.running and self._clock.monotonic() >= watch.probe_at:
            pace_s = check.interval_s if watch.answered else min(check.interval_s, FIRST_ANSWER_POLL_S)
            watch.probe_at = self._clock.monotonic() + pace_s
            if self._probes.start(probe, self._workers, lambda: self._prober.complaint(check, address)):
                self._take_in_probes()

    def _take_in_probes(self) -> None:
        for (container_id, start), probe in self._probes.finished():
            watch = self._watches.get(container_id)
            if watch is None or watch.starts != start:
                continue
            watch.answer = probe.result()
            if watch.answer:
                watch.refusals += 1
            else:
                watch.answered, watch.refusals = True, 0


def _matters(observed: Observed, watch: _Watch, watch_level: WatchLevel, before: State, now: float) -> bool:
    """Whether its run may say now what the list does not, and that decides something."""
    is_down = watch.state == "restarting" or (watch.state == "exited" and not observed.is_done)
    if watch_level is not WatchLevel.TRIED:
        return is_down and watch_level is WatchLevel.KEPT
    if is_down or watch.state != "running" or before not in ("created", "running"):
        return True
    window_from, window_s = watch.window_from or now, observed.supervision.healthy_window_s
    if now - window_from >= window_s > watch.read_at - window_from:
        return True  # its time is up
    is_checked = isinstance(observed.supervision.health_check, Probed) or observed.container.health != "none"
    return not is_checked and now - max(watch.steady_from, watch.read_at) >= steady_enough_s(observed)
