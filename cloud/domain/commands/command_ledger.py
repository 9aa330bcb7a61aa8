"""Rules of the command ledger: which result changes a command's state. Pure; reads no clock, no table.

Results from the device move ``state`` forward only. What the cloud infers, from silence or from a later boot
(``services.reboot_proofs``), is kept beside it as ``inferred``; the device's next result replaces it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.defaults import INFER_EXPIRED_AFTER_S, INFER_NO_PROOF_AFTER_S
from contract.commands import CommandState

_RANK: Mapping[CommandState, int] = {
    CommandState.PENDING: 0,
    CommandState.DELIVERED: 1,
    CommandState.IN_PROGRESS: 2,
}
_FINAL = 3

#: An unanswered command is sent again this long after it was sent last.
SENT_AGAIN_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Inferred:
    """A state that the cloud inferred without a result of the device, and when."""

    state: CommandState
    code: str
    at: datetime


#: The device's own result of a reboot has this long to arrive after its next boot was reported.
PROVEN_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Proof:
    """A boot of the device after the one in which it began to reboot, and when it was reported."""

    boot_id: str
    at: datetime


#: The code of a command that the broker did not take.
NOT_SENT = "not-sent"
#: The code of a reboot that a later boot of its device proves.
REBOOTED = "boot-id-changed"
NOT_STARTED = (CommandState.PENDING, CommandState.DELIVERED)


def rank(state: CommandState) -> int:
    """Return how far along a command in ``state`` is; every final state is as far as the others."""
    return _RANK.get(state, _FINAL)


def earlier_than(state: CommandState) -> tuple[CommandState, ...]:
    """Return the states from which the device's result ``state`` is a step forward; empty for PENDING."""
    return tuple(earlier for earlier, its_rank in _RANK.items() if its_rank < rank(state))


def due_at(
    state: CommandState, *, expires_at: datetime, changed_at: datetime, proof: Proof | None = None
) -> datetime | None:
    """Return when silence means something for a command in the device's ``state``; None once it is final."""
    if state is CommandState.IN_PROGRESS and proof is not None:
        return proof.at + PROVEN_AFTER
    if state in NOT_STARTED:
        return called_expired_at(expires_at)
    if state is CommandState.IN_PROGRESS:
        return changed_at + timedelta(seconds=INFER_NO_PROOF_AFTER_S)
    return None


def called_expired_at(expires_at: datetime) -> datetime:
    """Return when silence says EXPIRED: what began at the last moment has some time to say so."""
    return expires_at + timedelta(seconds=INFER_EXPIRED_AFTER_S)


def infer(
    state: CommandState,
    *,
    expires_at: datetime,
    changed_at: datetime,
    now: datetime,
    proof: Proof | None = None,
) -> Inferred | None:
    """Return what silence means by ``now`` for a command in ``state``; None while it is too early."""
    due = due_at(state, expires_at=expires_at, changed_at=changed_at, proof=proof)
    if due is None or now < due:
        return None
    if state is CommandState.IN_PROGRESS and proof is not None:
        return Inferred(CommandState.SUCCEEDED, REBOOTED, proof.at)
    if state is CommandState.IN_PROGRESS:
        return Inferred(CommandState.FAILED, "no-proof", due)
    return Inferred(CommandState.EXPIRED, "no-answer", due)
