"""Update policy: the steps that have to wait for an update lock or a maintenance window. Pure.

Only steps that end a serving container wait, and the steps that lead up to them. What has begun is finished:
once the old container has stopped, neither lock nor window delays the new one, or the rollback.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from edge.containers.plan.app_snapshot import AppSnapshot
from edge.containers.plan.steps import Restart, SetAside, Step, Stop


@dataclass(frozen=True, slots=True)
class Deferral:
    """The reason why a step waits, in the words of the report."""

    code: Literal["update-locked", "outside-window"]
    message: str
    until: datetime | None = None  # when it may go on, if anybody knows


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The update locks that are held now, and a closed window for all applications."""

    locked: frozenset[str] = frozenset()
    closed: bool = False
    opens_at: datetime | None = None

    def deferral(self, step: Step) -> Deferral | None:
        """Return why ``step``, which ends what serves, has to wait; None when it may be done."""
        if step.application in self.locked:
            return Deferral("update-locked", "the application holds its update lock")
        if self.closed and not isinstance(step, Restart):  # a restart heals, and is no update
            return Deferral("outside-window", "no maintenance window is open", self.opens_at)
        return None


def sift(
    steps: Sequence[Step], views: Iterable[AppSnapshot], circumstances: Circumstances
) -> tuple[list[Step], dict[str, Deferral]]:
    """Return the steps that may be done, and of each application that must wait why.

    The later steps of an application wait with the first one that does.
    """
    by_name = {view.application: view for view in views}
    permitted: list[Step] = []
    waiting: dict[str, Deferral] = {}
    for step in steps:
        if step.application in waiting:
            continue
        if _ends_what_serves(step, by_name[step.application]):
            deferral = circumstances.deferral(step)
            if deferral is not None:
                waiting[step.application] = deferral
                continue
        permitted.append(step)
    return permitted, waiting


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
