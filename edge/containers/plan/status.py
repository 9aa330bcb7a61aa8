"""Reported status of an application: the one place where what is known becomes a state and a code."""

from contract.defaults import LAST_LINES
from contract.reports import ApplicationState, ApplicationStatus, PublishedPort, Rollback
from edge.containers.model.observed import Observed
from edge.containers.plan.app_snapshot import AppSnapshot, ImageState, Wait
from edge.containers.plan.health import CRASH_LOOP, Condition, condition, is_crashing, why_crashing
from edge.text import clip

_STATES = {
    Condition.STARTING: ApplicationState.STARTING,
    Condition.HEALTHY: ApplicationState.RUNNING,
    Condition.UNHEALTHY: ApplicationState.UNHEALTHY,
    Condition.ENDED: ApplicationState.STOPPED,
}
POLICY_REFUSED = "policy-refused"
_TEXT = 512  # the report's own limit is as many characters


def status(view: AppSnapshot, wait: Wait | None) -> ApplicationStatus:
    """Return an application's status for the report; ``wait`` is why it is not further."""
    shown = _shown(view)
    failed = view.record.failed if view.gave_up and not view.refusal else None
    code, message = (wait.code, wait.message) if wait else (None, None)
    if view.refusal:
        code, message = POLICY_REFUSED, view.refusal
    rollback = None
    if failed is not None:
        code, message = failed.code, failed.reason
        if failed.to_image is not None:
            rollback = Rollback(
                from_image=clip(failed.from_image, _TEXT),
                to_image=clip(failed.to_image, _TEXT),
                code=failed.code,
                reason=clip(failed.reason, _TEXT),
            )
    found = state(view)
    last_lines = failed.last_lines if failed else ()
    if code is None and view.proven is not None and is_crashing(view.history):
        code, message, last_lines = (
            CRASH_LOOP,
            why_crashing(view.history),
            view.history.last_lines,
        )
    elif code is None and found is ApplicationState.UNHEALTHY:
        code, message = "unhealthy", _why_unhealthy(view)
    return ApplicationStatus(
        name=view.application,
        state=found,
        image=clip(shown.image, _TEXT) if shown else None,
        container_id=shown.id[:12] if shown else None,
        ports=[
            PublishedPort(
                container_port=port.container_port,
                host_port=port.host_port,
                protocol=port.protocol,
                address=port.address,
            )
            for port in (shown.container.ports if shown else ())
            if port.host_port is not None
        ],
        code=code,
        message=clip(message, _TEXT) if message else None,
        next_try_at=wait.until if wait else None,
        pull_percent=view.pull_percent if found is ApplicationState.PULLING else None,
        rollback=rollback,
        last_lines=[clip(line, _TEXT) for line in last_lines[-LAST_LINES:]],
    )


def _shown(view: AppSnapshot) -> Observed | None:
    """Return the container that serves; failing that, the one that last did."""
    current, previous = view.pair.current, view.pair.previous
    if current is not None and current.alive:
        return current
    if previous is not None and previous.alive:
        return previous
    return current or previous


def state(view: AppSnapshot) -> ApplicationState:
    """Return the state of an application for the report."""
    current = view.pair.current
    how = None if current is None else _STATES[condition(current, view.history, on_trial=view.on_trial)]
    if view.wanted is None:
        return how or ApplicationState.STOPPED
    if view.refusal:
        return ApplicationState.FAILED
    if view.gave_up:
        if view.proven is not None:
            return ApplicationState.ROLLED_BACK if view.proven.alive else ApplicationState.STARTING
        if view.pair.previous is not None:
            return ApplicationState.STARTING
        return ApplicationState.FAILED
    if current is not None and current.spec == view.spec:
        if view.on_trial:
            return ApplicationState.STARTING
        waits_for_start = how is ApplicationState.STOPPED and not current.is_done
        return ApplicationState.STARTING if waits_for_start else how or ApplicationState.STOPPED
    return (
        ApplicationState.PULLING
        if view.image in (ImageState.COMING, ImageState.HELD)
        else ApplicationState.PENDING
    )


def _why_unhealthy(view: AppSnapshot) -> str:
    current = view.pair.current
    if current is None or current.container.state != "running":
        return f"the engine says {current.container.state}" if current else ""
    return view.history.answer or "its health check fails"
