"""A group reboot and its members: immutable values. Pure.

The decisions on them are in ``cloud.domain.commands.group_reboot_steps``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

MAX_CONCURRENT = 100
STOP_AFTER_FAILURES_MAX = 100


class State(StrEnum):
    """The state of a group reboot; it only moves forward."""

    SUBMITTED = "SUBMITTED"  # its members are being listed; no device was started
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"  # no further device is started; those in flight are awaited
    SUCCEEDED = "SUCCEEDED"  # the end of the group was reached with fewer failures than would stop it
    FAILED = "FAILED"  # stopped: by failures, or because no device was in the group any more
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether nothing may follow this state."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class StoppedBy(StrEnum):
    """The reason why a group reboot ended before the end of its group."""

    FAILURES = "failures"
    CANCEL = "cancel"
    EMPTY_GROUP = "empty-group"


class MemberState(StrEnum):
    """The state of one device in a group reboot."""

    WAITING = "WAITING"
    STARTING = "STARTING"  # its command has an id, and may or may not be on its way
    IN_FLIGHT = "IN_FLIGHT"  # the broker has the command; the device has not proven itself back
    SUCCEEDED = "SUCCEEDED"  # its result, or a later message, has another boot id
    FAILED = "FAILED"  # anything else that the ledger says or concludes
    SKIPPED = "SKIPPED"  # not there when its turn came; not a failure
    NOT_STARTED = "NOT_STARTED"  # read only: still WAITING when the group reboot ended


@dataclass(frozen=True, slots=True)
class Member:
    """One device of the group. ``code`` says why it failed or was skipped.

    ``inferred``: the cloud concluded the end; the device's own result replaces a failure.
    """

    device: str
    state: MemberState
    changed_at: datetime
    command: str | None = None
    started_at: datetime | None = None
    code: str | None = None
    inferred: bool = False


@dataclass(frozen=True, slots=True)
class GroupReboot:
    """A reboot of a group as a whole.

    ``active`` are the devices that were started and not yet proven, ``failures`` those that failed, both
    by name; together they are fewer than ``max_concurrent + stop_after_failures``. Devices have their
    turn in order of name, and all up to ``walked_to`` had it.
    """

    id: str
    group: str
    max_concurrent: int
    stop_after_failures: int
    reason: str
    requested_by: str
    requested_at: datetime
    expires_in_s: float  # each device's latest start, after its turn came
    force: bool = False
    state: State = State.SUBMITTED
    stopped_by: StoppedBy | None = None
    cancelled_by: str | None = None
    started_at: datetime | None = None  # when the first device was
    ended_at: datetime | None = None
    listed_to: str | None = None
    listed: bool = False
    walked_to: str | None = None
    total: int = 0
    succeeded: int = 0
    skipped: int = 0
    active: Mapping[str, Member] = field(default_factory=dict)
    failures: Mapping[str, Member] = field(default_factory=dict)
    version: int = 0

    @property
    def waiting(self) -> int:
        """How many of the members listed so far did not have their turn."""
        return self.total - self.succeeded - self.skipped - len(self.active) - len(self.failures)

    @property
    def unsettled(self) -> dict[str, Member]:
        """The members whose command has no final result of the device yet."""
        doubtful = {name: member for name, member in self.failures.items() if member.inferred}
        return doubtful | dict(self.active)
