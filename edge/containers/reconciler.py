"""One round of observe → plan → execute, again and again, until what runs is what is wanted."""

from dataclasses import dataclass

from contract.reports import ApplicationStatus


@dataclass(frozen=True, slots=True)
class Pass:
    """What one round found and left behind."""

    statuses: tuple[ApplicationStatus, ...]  # the document's order, then others of ours
    settled: bool  # nothing is under way or will be tried again by itself
    critical: bool  # some application is between "old stopped" and "new running"
    engine: str  # its version, or "unavailable"
    next_look_s: float | None  # look again after this, even if nothing happens
