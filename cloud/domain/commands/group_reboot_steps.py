"""Steps of a group reboot: which devices next, which are proven back, when to stop. Pure; no clock, no table.

A step is stored as a whole or not at all. Every decision rests on what is stored and on facts looked up now,
never on the content of a message: a message is only a reason to look.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cloud.domain.commands.command import Command
from cloud.domain.commands.command_ledger import NOT_SENT
from cloud.domain.commands.group_reboot import GroupReboot, Member, MemberState, State, StoppedBy
from cloud.domain.devices import presence
from cloud.domain.devices.device import Device
from cloud.domain.timestamps import to_ms
from contract.commands import CommandState, RebootCommand
from contract.names import identifier

#: Members changed by one step: with the head and the group's claim they are one transaction of DynamoDB.
CHANGES_MAX = 98


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device whose turn may come; ``skip`` says why it cannot be rebooted now."""

    device: str
    skip: str | None = None


def candidate(
    name: str, device: Device | None, group: str, now: datetime, *, offline_debounce_s: float
) -> Candidate:
    """Return the device ``name`` as a candidate of ``group``.

    A stale one has its turn: it is connected, and a reboot may be just what it needs.
    """
    if device is None:
        return Candidate(name, "not-enrolled")
    if group not in device.groups:  # who may reboot this group may have no say over another
        return Candidate(name, "left-group")
    seen = presence.state(device, now, offline_debounce_s=offline_debounce_s).state
    return Candidate(name, f"device-{seen}" if seen in ("offline", "unknown") else None)


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """Facts looked up: commands of unsettled members, commands sent just now, the next candidates."""

    commands: Mapping[str, Command] = field(default_factory=dict)
    sent: Collection[str] = ()
    candidates: Sequence[Candidate] = ()  # in order of name, from the first that waits on, without a gap


@dataclass(frozen=True, slots=True)
class Step:
    """Changes to store, all or nothing, while the version is still ``after.version - 1``."""

    after: GroupReboot
    members: tuple[Member, ...] = ()


def list_members(reboot: GroupReboot, names: Sequence[str], *, more: bool, now: datetime) -> Step:
    """Return the step that adds ``names``, the group's next (at most CHANGES_MAX), as waiting."""
    members = tuple(Member(name, MemberState.WAITING, now) for name in names)
    after = replace(
        reboot,
        version=reboot.version + 1,
        total=reboot.total + len(members),
        listed_to=names[-1] if names else reboot.listed_to,
        listed=not more,
    )
    if after.listed and after.total == 0:
        return Step(replace(after, state=State.FAILED, stopped_by=StoppedBy.EMPTY_GROUP, ended_at=now))
    if after.listed and after.state is State.SUBMITTED:
        after = replace(after, state=State.RUNNING)
    return Step(after, members)


def cancel(reboot: GroupReboot, by: str) -> Step | None:
    """Return the step that keeps further devices from being started; None where none would be anyway."""
    if reboot.state not in (State.SUBMITTED, State.RUNNING):
        return None
    after = replace(
        reboot,
        version=reboot.version + 1,
        state=State.STOPPING,
        stopped_by=StoppedBy.CANCEL,
        cancelled_by=by,
    )
    return Step(after)


def decide(reboot: GroupReboot, facts: DeviceFacts, now: datetime) -> Step | None:
    """Return the next step of a group reboot whose members are listed; None when there is nothing to do.

    It settles what the ledger has settled, stops at the threshold, starts the next devices while fewer
    than ``max_concurrent`` are unproven, and ends when nothing is in flight and nothing will follow. A
    stop stays a stop, also when a device's late result replaces a failure.
    """
    if reboot.state.final or not reboot.listed:
        return None
    changes = _settled(reboot, facts, now)
    after = _counted(reboot, changes)
    if after.state is State.RUNNING and len(after.failures) >= after.stop_after_failures:
        after = replace(after, state=State.STOPPING, stopped_by=StoppedBy.FAILURES)
    if after.state is State.RUNNING:
        turns = _turns(after, facts.candidates, CHANGES_MAX - len(changes), now)
        changes += turns
        after = _counted(after, turns)
    after = _ended(after, now)
    return None if after == reboot else Step(replace(after, version=reboot.version + 1), tuple(changes))


def order(reboot: GroupReboot, member: Member) -> RebootCommand:
    """Return the command of a member that was started: the same whenever it is asked for."""
    assert member.command is not None  # noqa: S101 - what is started has a command
    assert member.started_at is not None  # noqa: S101 - and a time
    return RebootCommand(
        id=member.command,
        issued_at=member.started_at,
        expires_at=member.started_at + timedelta(seconds=reboot.expires_in_s),
        requested_by=reboot.requested_by,
        reason=reboot.reason,
        force=reboot.force,
    )


def _command_id(reboot_id: str, device: str, at: datetime) -> str:
    digest = hashlib.sha256(f"{reboot_id}\0{device}".encode()).digest()
    return identifier("cmd", unix_ms=to_ms(at), random80=int.from_bytes(digest[:10]))


def _settled(reboot: GroupReboot, facts: DeviceFacts, now: datetime) -> list[Member]:
    changes: list[Member] = []
    for device, member in sorted(reboot.unsettled.items()):
        command = facts.commands.get(device)
        if command is not None and len(changes) < CHANGES_MAX:
            after = _heard(member, command, sent=device in facts.sent, now=now)
            if after is not member:
                changes.append(after)
    return changes


def _heard(member: Member, command: Command, *, sent: bool, now: datetime) -> Member:
    """Return the member with its command's state; the same object when nothing changed."""
    concluded = command.conclusion(now)
    trying = member.state is not MemberState.FAILED and now < command.expires_at
    if trying and concluded is not None and concluded.code == NOT_SENT:
        concluded = None  # it is sent again until its time is over
    state, code = MemberState.IN_FLIGHT, None
    if concluded is not None and concluded.state is CommandState.SUCCEEDED:
        state = MemberState.SUCCEEDED
    elif concluded is not None:
        state, code = MemberState.FAILED, concluded.code
    elif command.state is CommandState.SUCCEEDED:
        state = MemberState.SUCCEEDED
    elif command.state.final:
        state, code = MemberState.FAILED, str(command.result.get("code") or command.state.lower())
    elif command.state is CommandState.PENDING and member.state is MemberState.STARTING and not sent:
        return member
    inferred = concluded is not None
    if (state, code, inferred) == (member.state, member.code, member.inferred):
        return member
    return replace(member, state=state, code=code, inferred=inferred, changed_at=now)


def _turns(reboot: GroupReboot, candidates: Sequence[Candidate], at_most: int, now: datetime) -> list[Member]:
    turns: list[Member] = []
    room = reboot.max_concurrent - len(reboot.active)
    for candidate in candidates:
        if room <= 0 or len(turns) >= at_most:
            break
        if candidate.skip is not None:
            turns.append(Member(candidate.device, MemberState.SKIPPED, now, code=candidate.skip))
            continue
        room -= 1
        command = _command_id(reboot.id, candidate.device, now)
        turns.append(Member(candidate.device, MemberState.STARTING, now, command=command, started_at=now))
    return turns


def _counted(reboot: GroupReboot, changes: Sequence[Member]) -> GroupReboot:
    """Return ``reboot`` with its sums and its lists as ``changes`` leave them."""
    active, failures = dict(reboot.active), dict(reboot.failures)
    succeeded, skipped = reboot.succeeded, reboot.skipped
    walked_to, started_at = reboot.walked_to, reboot.started_at
    for member in changes:
        active.pop(member.device, None)
        failures.pop(member.device, None)
        match member.state:
            case MemberState.STARTING | MemberState.IN_FLIGHT:
                active[member.device] = member
                started_at = started_at or member.started_at
            case MemberState.FAILED:
                failures[member.device] = member
            case MemberState.SUCCEEDED:
                succeeded += 1
            case MemberState.SKIPPED:
                skipped += 1
        walked_to = member.device if walked_to is None else max(walked_to, member.device)
    return replace(
        reboot, active=active, failures=failures, succeeded=succeeded, skipped=skipped,
        walked_to=walked_to, started_at=started_at,
    )  # fmt: skip


def _ended(reboot: GroupReboot, now: datetime) -> GroupReboot:
    if reboot.active:
        return reboot
    if reboot.state is State.STOPPING:
        cancelled = reboot.stopped_by is StoppedBy.CANCEL
        return replace(reboot, state=State.CANCELLED if cancelled else State.FAILED, ended_at=now)
    return reboot if reboot.waiting else replace(reboot, state=State.SUCCEEDED, ended_at=now)
