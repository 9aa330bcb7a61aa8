"""A command as the ledger knows it: one immutable value. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloud import ledger
from cloud.ledger import Inferred
from contract.commands import CommandState


@dataclass(frozen=True, slots=True)
class Command:
    """One ledger entry. ``state`` is the device's own word; ``inferred`` is ours until it speaks again."""

    device: str
    id: str
    kind: str
    issued_at: datetime
    expires_at: datetime
    requested_by: str
    reason: str
    force: bool
    state: CommandState
    changed_at: datetime
    warnings: tuple[str, ...] = ()
    inferred: Inferred | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    transitions: Sequence[Mapping[str, Any]] = ()

    def conclusion(self, now: datetime) -> Inferred | None:
        """Return what the cloud concludes by ``now``, stored or not; None while the device's word stands."""
        return self.inferred or ledger.infer(
            self.state, expires_at=self.expires_at, changed_at=self.changed_at, now=now
        )
