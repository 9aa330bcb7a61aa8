"""The decision on one command, from facts alone: no clock, no disk, no machine."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from contract.commands import Command, CommandResult, CommandState, RebootCommand
from contract.defaults import COMMAND_EXPIRY_MAX_S
from edge.commands.rules.ledger import Ledger
from edge.defaults import HELD_COMMANDS


@dataclass(frozen=True, slots=True)
class CommandContext:
    """The facts at the moment of the decision."""

    now: datetime | None  # None: this boot does not know the server's time yet
    clock: Literal["server", "device"]
    critical: bool  # some application is between "old stopped" and "new running"
    reboot_budget: int
    locked: bool = False  # some application holds its update lock
    boot_certain: bool = True  # whether the boot id that would prove a reboot can be read
    ahead: timedelta = timedelta()  # by how much ``now`` may be too late


@dataclass(frozen=True, slots=True)
class Proceed:
    """Carry it out now."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Defer:
    """Keep it until the server's time is known."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Keep it, report by ``code`` what it waits for, and decide again; at ``due_at``, if given."""

    code: Literal["delayed", "update-locked"]
    message: str
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """It was decided before: send the same result again and do nothing."""

    result: CommandResult


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not carry it out, and say why; not ``remembered`` where there is no room to remember it."""

    state: Literal[CommandState.REJECTED, CommandState.EXPIRED, CommandState.SUPERSEDED]
    code: str
    message: str
    remembered: bool = True


Decision = Proceed | Defer | Wait | Repeat | Refuse


def decide(command: Command, ledger: Ledger, situation: CommandContext) -> Decision:
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
        return Defer()
    if command.expires_at <= now:
        locked_out = held and _is_locked_out(command, situation)
        why = _LOCKED if locked_out else ("expired", "not started before expires_at")
        return Refuse(CommandState.EXPIRED, *why)
    if ledger.trusted_from is not None and command.issued_at < ledger.trusted_from:
        return _rejected("ledger-lost", "it may have run before this device lost its command ledger")
    if isinstance(command, RebootCommand):
        decision = _decide_on_reboot(command, ledger, situation, now)
        if isinstance(decision, Wait) and not held and len(ledger.held) >= HELD_COMMANDS:
            return _rejected("too-many-held", "too many commands wait already", remembered=False)
        return decision
    return _REBOOTING if ledger.rebooting() else Proceed(now)


def _decide_on_reboot(
    command: RebootCommand, ledger: Ledger, situation: CommandContext, now: datetime
) -> Decision:
    newer = ledger.newer_reboot(command, until=now if situation.clock == "server" else None)
    if newer is not None:  # the cloud has concluded the same, whatever became of the newer one
        message = f"{newer} was asked for later"
        return Refuse(CommandState.SUPERSEDED, "newer-reboot", message)
    if command.not_before is not None and now < (due_at := command.not_before + situation.ahead):
        return Wait("delayed", "not before the time it was asked for", due_at)
    if ledger.rebooting():
        return _REBOOTING
    if not situation.boot_certain:
        return _rejected("boot-id-unreadable", "boot_id_path cannot be used, so no reboot could be proven")
    if situation.critical and not command.force:
        return _rejected("update-in-progress", "a container is being replaced; send it again, or with force")
    if len(ledger.reboots_since(now)) >= situation.reboot_budget and not command.override_budget:
        return _rejected("reboot-budget", f"at most {situation.reboot_budget} reboots by command an hour")
    return Wait(*_LOCKED) if _is_locked_out(command, situation) else Proceed(now)


def _is_locked_out(command: Command, situation: CommandContext) -> bool:
    return isinstance(command, RebootCommand) and situation.locked and not command.force


def _rejected(code: str, message: str, *, remembered: bool = True) -> Refuse:
    return Refuse(CommandState.REJECTED, code, message, remembered)


_LOCKED: tuple[Literal["update-locked"], str] = "update-locked", "an application holds its update lock"
_REBOOTING = _rejected("reboot-in-progress", "another reboot has been started")
