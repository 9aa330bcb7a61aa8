"""The device's command ledger. Pure values: every change returns a new ledger.

It holds each command's outcome until the command cannot be delivered again, the commands that wait
(for the server's time, their own time, or a lock), and when reboots were started. All of it is in one file,
so that every write is consistent.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from contract import topics
from contract.commands import AnyCommand, CommandResult, CommandState, RebootCommand, name_of
from contract.wire import Utc
from edge.defaults import (
    COMMAND_MEMORY_AFTER_EXPIRY_S,
    COMMAND_MEMORY_IDS,
    REBOOT_BUDGET_WINDOW_S,
)


class Entry(BaseModel):
    """One command that was decided: its outcome, and whether the outbox has that.

    What the outbox has it keeps, on disk too, until the cloud acknowledges it or it is given up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: topics.Command = "reboot"
    issued_at: Utc | None = None  # unknown in what an agent before this field wrote
    expires_at: Utc
    result: CommandResult
    answered: bool = False


class Ledger(BaseModel):
    """The device's memory of commands, as it is on disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    entries: Mapping[str, Entry] = {}
    held: tuple[AnyCommand, ...] = ()  # in order of arrival
    reboots: tuple[Utc, ...] = ()  # when each was started, oldest first
    lost: bool = False  # an earlier ledger could not be read; nothing before the next known time is trusted
    trusted_from: Utc | None = None  # commands issued before may have been carried out already

    @property
    def full(self) -> bool:
        """Whether no further command can be remembered."""
        return len(self.entries) + len(self.held) >= COMMAND_MEMORY_IDS

    def running(self) -> Mapping[str, Entry]:
        """Return the commands that were started and have no outcome yet."""
        return {k: e for k, e in self.entries.items() if e.result.state is CommandState.IN_PROGRESS}

    def rebooting(self) -> Mapping[str, Entry]:
        """Return the reboots that were started and have no outcome yet."""
        return {k: e for k, e in self.running().items() if e.command == "reboot"}

    def newer_reboot(self, than: RebootCommand, *, until: datetime | None) -> str | None:
        """Return the id of a reboot that was asked for later, whatever became of it.

        Not after ``until``, if given: one from the future must not keep the device from every reboot.
        """
        reboots = [(c.issued_at, c.id) for c in self.held if isinstance(c, RebootCommand)]
        reboots += [
            (entry.issued_at, command_id)
            for command_id, entry in self.entries.items()
            if entry.command == "reboot" and entry.issued_at is not None
        ]
        counted = [each for each in reboots if until is None or each[0] <= until]
        newest = max(counted, default=None)
        return newest[1] if newest is not None and newest > (than.issued_at, than.id) else None

    def unanswered(self) -> tuple[Entry, ...]:
        """Return what the outbox may not have, oldest first."""
        return tuple(entry for entry in self.entries.values() if not entry.answered)

    def holding(self, command: AnyCommand) -> Self:
        """Return the ledger with a command that waits."""
        return self.model_copy(update={"held": (*self.held, command)})

    def judged(self, command: AnyCommand, result: CommandResult) -> Self:
        """Return the ledger with the first result of a command, not sent yet; it waits no longer.

        Nothing else of the command is kept: where a bundle is to go is a secret.
        """
        entry = Entry(
            command=name_of(command),
            issued_at=command.issued_at,
            expires_at=command.expires_at,
            result=result,
        )
        held = tuple(each for each in self.held if each.id != command.id)
        return self._with(entry).model_copy(update={"held": held})

    def finished(self, result: CommandResult) -> Self:
        """Return the ledger with the outcome, not sent yet, of a command that was started."""
        return self._with(self.entries[result.id].model_copy(update={"result": result, "answered": False}))

    def _with(self, entry: Entry) -> Self:
        """Return the ledger with ``entry`` as the latest."""
        entries = {k: e for k, e in self.entries.items() if k != entry.result.id}
        return self.model_copy(update={"entries": {**entries, entry.result.id: entry}})

    def answered(self, result: CommandResult) -> Self:
        """Return the ledger that knows that the outbox has exactly this result; logs in it are not kept."""
        entry = self.entries.get(result.id)
        if entry is None or entry.answered or entry.result != result:
            return self
        told = {"answered": True, "result": result.model_copy(update={"log_lines": None})}
        entries = dict(self.entries) | {result.id: entry.model_copy(update=told)}
        return self.model_copy(update={"entries": entries})

    def started(self, at: datetime) -> Self:
        """Return the ledger with one more reboot to count; older ones than the window are let go."""
        return self.model_copy(update={"reboots": (*self.reboots_since(at), at)})

    def reboots_since(self, now: datetime) -> tuple[datetime, ...]:
        """Return the reboots that count at ``now``: a clock that went back does not make them uncounted."""
        return tuple(at for at in self.reboots if at > now - timedelta(seconds=REBOOT_BUDGET_WINDOW_S))

    def told_the_time(self, now: datetime) -> Self:
        """Return the ledger at the server's time ``now``: without commands that cannot be delivered again.

        Only the server's time may make the device forget: its own clock may be years ahead, and a
        command forgotten too early could run twice.
        """
        old = now - timedelta(seconds=COMMAND_MEMORY_AFTER_EXPIRY_S)
        kept = {
            k: e
            for k, e in self.entries.items()
            if e.expires_at > old or not e.answered or not e.result.state.final
        }
        found = self.trusting_from(now)
        if len(kept) != len(self.entries):
            found = found.model_copy(update={"entries": kept})
        # Reboots dated by a clock that was years ahead would use up the budget for years.
        if any(at > now for at in self.reboots):
            found = found.model_copy(update={"reboots": tuple(min(at, now) for at in self.reboots)})
        return found

    def trusting_from(self, now: datetime) -> Self:
        """Return the ledger that, after a loss, trusts only commands issued from ``now`` on."""
        return self.model_copy(update={"lost": False, "trusted_from": now}) if self.lost else self
