"""Restart policy: when a proven container that does not work now is started again. Pure."""

from edge.backoff import backoff_s
from edge.containers.model.observed import Observed
from edge.containers.plan.health import Condition, HealthHistory, condition, is_crashing

RESTART_FIRST_S = 1.0  # after the first restart; each further wait is twice as long
RESTART_MAX_S = 300.0
#: So long after its last restart a container's new trouble is not the old one any more.
RESTART_FORGET_S = 2 * RESTART_MAX_S


def is_ailing(observed: Observed, history: HealthHistory) -> bool:
    """Whether it should run, does, and is not healthy: only a restart may help."""
    return (
        observed.container.state == "running"
        and observed.supervision.restart != "no"
        and not is_crashing(history)  # it is being restarted already
        and condition(observed, history, on_trial=False) is Condition.UNHEALTHY
    )


def is_due(observed: Observed, history: HealthHistory) -> bool:
    """Whether it may be started again now: at once, then ever more rarely.

    One that runs and was not healthy yet has its healthy window to come up, or a slow starter never would.
    """
    comes_up = observed.alive and not history.was_healthy
    least_s = observed.supervision.healthy_window_s if comes_up else 0.0
    if history.restarts == 0:
        return history.window_s >= least_s
    wait_s = backoff_s(history.restarts, RESTART_FIRST_S, RESTART_MAX_S)
    return history.since_restart_s >= max(wait_s, least_s)
