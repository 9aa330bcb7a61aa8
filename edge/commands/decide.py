"""What to do with a command, decided from facts alone: no clock, no disk, no machine."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from contract.commands import Command, CommandResult, CommandState, RebootCommand
from contract.defaults import COMMAND_EXPIRY_MAX_S, HELD_COMMANDS
from edge.commands.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Situation:
    """What counts at the moment of judging."""

    now: datetime | None  # None: this boot does not know the server's time yet
    clock: Literal["server", "device"]
    critical: bool  # some application is between "old stopped" and "new running"
    reboot_budget: int
    locked: bool = False  # some application holds its update lock


@dataclass(frozen=True, slots=True)
class Start:
    """Carry it out now."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep it until the server's time is known."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Keep it until no application holds its update lock, or it expires."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """It was judged before: say the same again and do nothing."""

    result: CommandResult


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not carry it out, and say why; not ``remembered`` where there is no room to remember it."""

    state: Literal[CommandState.REJECTED, CommandState.EXPIRED]
    code: str
    message: str
    remembered: bool = True


Decision = Start | Hold | Wait | Repeat | Refuse


def decide(command: Command, ledger: Ledger, situation: Situation) -> Decision:
    """Return what to do with a command.

    A command that was seen is never judged again, whatever has changed since; one that could outlive
    the device's memory is refused, so that no command can ever run twice.
    """
    seen = ledger.entries.get(command.id)
    if seen is not None:
        return Repeat(seen.result)
    held = any(waiting.id == command.id for waiting in ledger.held)
    if ledger.full and not held:  # one that is held has its room already
        return _rejected("ledger-full", "this device remembers as many commands as it can", remembered=False)
    if (command.expires_at - command.issued_at).total_seconds() > COMMAND_EXPIRY_MAX_S:
        return _rejected("expires-too-late", "a command may be valid for at most 7 days")
    now = situation.now
    if now is None:
        if not held and len(ledger.held) >= HELD_COMMANDS:
            return _rejected(
                "too-many-held", "too many commands wait for the server's time", remembered=False
            )
        return Hold()
    if command.expires_at <= now:
        return Refuse(CommandState.EXPIRED, "expired", "not started before expires_at")
    if ledger.trusted_from is not None and command.issued_at < ledger.trusted_from:
        return _rejected("ledger-lost", "it may have run before this device lost its command ledger")
    if ledger.rebooting():
        return _rejected("reboot-in-progress", "another reboot has been started")
    if not isinstance(command, RebootCommand):
        return Start(now)
    if situation.critical and not command.force:
        return _rejected("update-in-progress", "a container is being replaced; send it again, or with force")
    if len(ledger.reboots_since(now)) >= situation.reboot_budget:
        return _rejected("reboot-budget", f"at most {situation.reboot_budget} reboots by command an hour")
    if situation.locked and not command.force:
        if not held and len(ledger.held) >= HELD_COMMANDS:
            return _rejected("too-many-held", "too many commands wait for an update lock", remembered=False)
        return Wait()
    return Start(now)


def _rejected(code: str, message: str, *, remembered: bool = True) -> Refuse:
    return Refuse(CommandState.REJECTED, code, message, remembered)
