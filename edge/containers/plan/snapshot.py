"""Snapshot of all applications: what one plan rests on, gathered before it; nobody writes into it."""

from dataclasses import dataclass
from datetime import datetime

from edge.containers.plan.app_snapshot import AppSnapshot


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """No maintenance window is open; the next one opens then, if there is one."""

    opens_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The applications of this device, and what holds updates of them back."""

    applications: tuple[AppSnapshot, ...] = ()  # the wanted ones in the document's order, then others of ours
    atomic: bool = False  # all of the document, or nothing
    locked: frozenset[str] = frozenset()  # the applications that hold their update lock
    window: ClosedWindow | None = None
    force: bool = False  # neither lock nor window counts
