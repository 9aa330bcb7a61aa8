"""Commands to a device and their results.

A command's life, forward only: PENDING → DELIVERED → IN_PROGRESS → one of the final states.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from contract.names import Code, Identifier
from contract.wire import Lenient, Strict, Utc


class CommandState(StrEnum):
    """Where a command is in its life; the same words on the wire, in the table and in the API."""

    PENDING = "PENDING"  # written and published; nothing heard of it
    DELIVERED = "DELIVERED"  # the device has it and waits (delay, lock, window)
    IN_PROGRESS = "IN_PROGRESS"  # recorded on the device's disk; about to happen
    SUCCEEDED = "SUCCEEDED"  # proven: the boot id changed
    FAILED = "FAILED"  # tried, and not done; the code says why
    REJECTED = "REJECTED"  # refused by the device; the code names the rule
    EXPIRED = "EXPIRED"  # not started before expires_at
    SUPERSEDED = "SUPERSEDED"  # a newer one of its kind took its place before it started

    @property
    def final(self) -> bool:
        """Whether nothing may follow this state."""
        return self not in (CommandState.PENDING, CommandState.DELIVERED, CommandState.IN_PROGRESS)


class RebootCommand(Strict):
    """``cmd/fleetgrass/{thing}/reboot/req``: reboot once, not later than ``expires_at``."""

    v: Literal[1] = 1
    id: Identifier
    issued_at: Utc
    expires_at: Utc  # the latest start, by the server's time
    requested_by: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    force: bool = False  # reboot even while a container is being replaced

    @model_validator(mode="after")
    def _expires_after_issue(self) -> "RebootCommand":
        if self.expires_at <= self.issued_at:
            raise ValueError("expires_at must be later than issued_at")
        return self


class TimeAnswer(Strict):
    """``cmd/fleetgrass/{thing}/time/req``: the server's time, answering the hello with this nonce."""

    v: Literal[1] = 1
    nonce: Annotated[str, StringConstraints(min_length=8, max_length=64)]
    server_time_ms: Annotated[int, Field(gt=0)]


class CommandResult(Lenient):
    """``cmd/fleetgrass/{thing}/{command}/res``: what became of a command, as the device says."""

    v: Literal[1] = 1
    id: Identifier
    state: CommandState
    at: Utc  # the device's clock: data, never the order
    clock: Literal["server", "device"] = "server"  # by which time expiry was judged
    code: Code | None = None  # set with FAILED, REJECTED and EXPIRED
    message: Annotated[str, StringConstraints(max_length=512)] | None = None
    boot_id_before: Annotated[str, StringConstraints(max_length=64)] | None = None
    boot_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    down_s: Annotated[float, Field(ge=0)] | None = None  # from IN_PROGRESS to this boot's first hello
