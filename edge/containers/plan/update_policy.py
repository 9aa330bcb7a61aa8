"""Update policy: the steps that have to wait for an update lock or a maintenance window. Pure.

Only steps that end a serving container wait, and the steps that lead up to them. What has begun is finished:
once the old container has stopped, neither lock nor window delays the new one, or the rollback.
"""

from collections.abc import Sequence

from edge.containers.plan.app_snapshot import AppSnapshot, Wait
from edge.containers.plan.snapshot import Snapshot
from edge.containers.plan.steps import Restart, SetAside, Step, Stop


def withheld(
    steps: Sequence[Step], view: AppSnapshot, snapshot: Snapshot
) -> tuple[Sequence[Step], Wait | None]:
    """Return those of an application's ``steps`` that must wait, from the first one on, and for what."""
    for number, step in enumerate(steps):
        if _ends_what_serves(step, view) and (wait := _wait(step, snapshot)) is not None:
            return steps[number:], wait
    return (), None


def _wait(step: Step, snapshot: Snapshot) -> Wait | None:
    if snapshot.force:
        return None
    if step.application in snapshot.locked:
        return Wait("update-locked", "the application holds its update lock")
    if snapshot.window is not None and not isinstance(step, Restart):  # a restart heals, and is no update
        return Wait("outside-window", "no maintenance window is open", snapshot.window.opens_at)
    return None


def _ends_what_serves(step: Step, view: AppSnapshot) -> bool:
    if not isinstance(step, Stop | Restart | SetAside):
        return False
    current, previous = view.pair.current, view.pair.previous
    serving = None
    if view.proven is not None and view.proven.alive:
        serving = view.proven
    elif previous is not None and previous.alive and (current is None or not current.alive):
        serving = previous
    return serving is not None and serving.id == step.container_id
