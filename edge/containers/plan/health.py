"""Container health, and whether a container on trial has proven itself. Pure decisions on what was seen."""

from dataclasses import dataclass, field, replace
from enum import Enum

from contract.applications import HttpHealthCheck, TcpHealthCheck
from edge.containers.model.observed import Observed
from edge.ports.engine import ContainerRun

#: A container without any health check has proven itself when it ran this long without ending (or
#: half its window, if that is less): one that dies at once is seen running between its restarts.
STEADY_S = 3.0
#: Checks that the agent makes itself; the others are the engine's.
Probed = HttpHealthCheck | TcpHealthCheck
#: So often it must have ended, and been started again, to be called a crash loop; it is called so until it
#: has run for CALM_S, which is longer than the engine ever waits between two starts (a minute).
CRASHES = 3
CALM_S = 90.0
CRASH_LOOP = "crash-loop"
#: Answers in a row that an application which was healthy may miss before it is called unhealthy.
REFUSALS = 3


class Condition(Enum):
    """The health of a container."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class HealthHistory:
    """The history of a container as seen over time; durations by the monotonic clock."""

    window_s: float = 0.0  # from when it was first seen started until the latest look
    steady_s: float = 0.0  # from its latest start until its run was read
    container_run: ContainerRun = field(default_factory=ContainerRun)  # asked for while it is on trial
    ending: ContainerRun | None = None  # the latest that told how it ended; since then it was started again
    answered: bool = False  # it has passed the agent's own check at least once since its start
    refusals: int = 0  # checks failed in a row
    last_lines: tuple[str, ...] = ()  # of its output, when it ended
    crashes: int = 0  # it ended and was started again so often, lately
    since_crash_s: float = 0.0  # the latest of them
    answer: str = ""  # what the latest check found wrong, in words
    was_healthy: bool = False  # at some look since its start
    restarts: int = 0  # by us, lately
    since_restart_s: float = 0.0  # the latest of them


@dataclass(frozen=True, slots=True)
class TrialPassed:
    """The container on trial is good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Undecided:
    """Look again."""


@dataclass(frozen=True, slots=True)
class TrialFailed:
    """The container on trial is not good."""

    code: str
    reason: str


Judgement = TrialPassed | Undecided | TrialFailed


def is_crashing(history: HealthHistory) -> bool:
    """Whether it keeps ending, though it may run just now."""
    return history.crashes >= CRASHES and history.since_crash_s < CALM_S


def why_crashing(history: HealthHistory) -> str:
    """Return how it ended the last time; always the same text, so that no report is sent for each end."""
    if history.container_run.out_of_memory:
        return "it keeps ending: the kernel stops it for its memory"
    return f"it keeps ending, the last time with {history.container_run.exit_code}"


def condition(observed: Observed, history: HealthHistory, *, on_trial: bool) -> Condition:
    """Return how the container does."""
    container = observed.container
    if not container.alive:
        return Condition.ENDED
    if container.state != "running" or (not on_trial and is_crashing(history)):
        return Condition.UNHEALTHY
    if isinstance(observed.supervision.health_check, Probed):
        if history.refusals == 0:
            return Condition.HEALTHY if history.answered else Condition.STARTING
        if history.refusals >= REFUSALS:
            return Condition.UNHEALTHY
        return Condition.HEALTHY if history.answered and not on_trial else Condition.STARTING
    match container.health:
        case "starting":
            return Condition.STARTING
        case "unhealthy":
            return Condition.UNHEALTHY
        case "healthy":
            return Condition.HEALTHY
        case "none":
            is_steady = history.steady_s >= steady_enough_s(observed)
            return Condition.STARTING if on_trial and not is_steady else Condition.HEALTHY


def steady_enough_s(observed: Observed) -> float:
    """Return how long one without a health check must have run since its latest start to be good."""
    return min(STEADY_S, observed.supervision.healthy_window_s / 2)


def judge(observed: Observed, history: HealthHistory) -> Judgement:
    """Return whether the container on trial has proven itself: healthy once, within its window.

    One that the engine does not restart may also end well: exit code 0 is what it was for.
    """
    how = condition(observed, history, on_trial=True)
    if how is Condition.HEALTHY:
        return TrialPassed("healthy")
    container_run = history.container_run
    if how is Condition.ENDED and container_run.exit_code is not None:
        if container_run.exit_code == 0 and observed.supervision.restart != "unless-stopped":
            return TrialPassed("ended well")
        if observed.supervision.restart == "no":
            return TrialFailed(*_ending(container_run))
    if container_run.wrong_architecture:
        return TrialFailed(*_ending(container_run))
    if history.window_s < observed.supervision.healthy_window_s:
        return Undecided()
    code, reason = _why_missed(observed, history)
    return TrialFailed(code, f"not healthy within {observed.supervision.healthy_window_s:g} s: {reason}")


def _why_missed(observed: Observed, history: HealthHistory) -> tuple[str, str]:
    """Return code and reason; one that keeps ending may be caught between two endings."""
    container_run, ending = history.container_run, history.ending
    if container_run.exit_code is not None:
        return _ending(container_run)
    if container_run.restarts >= CRASHES or observed.container.health == "none":
        if ending is not None:
            return _ending(replace(ending, restarts=container_run.restarts))
        if container_run.restarts >= CRASHES:
            return CRASH_LOOP, f"it keeps ending, restarted {container_run.restarts} times"
    return _silence(observed, history)


def _ending(container_run: ContainerRun) -> tuple[str, str]:
    if container_run.wrong_architecture:
        return "wrong-architecture", "the image is for another kind of machine"
    if container_run.out_of_memory:
        return "out-of-memory", "the kernel stopped it for its memory"
    times = f", restarted {container_run.restarts} times" if container_run.restarts else ""
    if container_run.restarts >= CRASHES and container_run.exit_code != 127:
        return CRASH_LOOP, f"it keeps ending, the last time with {container_run.exit_code}{times}"
    if container_run.exit_code == 127:
        return "command-not-found", f"the image has no such command{times}"
    return "exited", f"it exited with {container_run.exit_code}{times}"


def _silence(observed: Observed, history: HealthHistory) -> tuple[str, str]:
    if isinstance(observed.supervision.health_check, Probed):
        return "unhealthy", history.answer or "its health check was never answered"
    if observed.container.health == "none":
        times = history.container_run.restarts
        return "exited", f"it does not keep running, restarted {times} times"
    return "unhealthy", f"its health check says {observed.container.health}"
