"""Rows of a group reboot: to DynamoDB attributes and back. Pure, no call. Times are Unix milliseconds."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cloud.aws.attributes import from_item
from cloud.domain.commands.group_reboot import GroupReboot, Member, MemberState, State, StoppedBy
from cloud.domain.timestamps import from_ms, to_ms

HEAD = "head"
MEMBER = "member#"
RUNNING = "running"
DUE_SHARD = "group-reboots"  # one for all: a group has one at a time
KEPT_AFTER_END = timedelta(days=90)
#: A member's row is seldom written, so it is kept as if its group reboot took this long.
LONGEST = timedelta(days=275)
DUE_AFTER = timedelta(minutes=1)

_TIMES = ("requested_at", "started_at", "ended_at")
_PLAIN = (
    "group", "max_concurrent", "stop_after_failures", "reason", "requested_by", "expires_in_s", "force",
    "cancelled_by", "listed_to", "listed", "walked_to", "total", "succeeded", "skipped", "version",
)  # fmt: skip


def partition(reboot_id: str) -> str:
    """Return where a group reboot's rows are; no thing can have that name."""
    return f"group-reboot#{reboot_id}"


def claim_key(group: str) -> dict[str, object]:
    """Return the key of the row that says which group reboot of ``group`` runs."""
    return {"device": f"group#{group}", "id": RUNNING}


def claim_row(reboot: GroupReboot) -> dict[str, object]:
    """Return the row that keeps a second group reboot from starting in the group."""
    return {**claim_key(reboot.group), "group_reboot": reboot.id}


def head_row(reboot: GroupReboot, now: datetime) -> dict[str, object]:
    """Return the head; while it runs it is due, a minute after ``now``, in case no message moves it."""
    ends: dict[str, object] = (
        {"delete_at": int((now + KEPT_AFTER_END).timestamp())}
        if reboot.state.final
        else {"due_shard": DUE_SHARD, "due_at": to_ms(now + DUE_AFTER)}
    )
    return {
        "device": partition(reboot.id),
        "id": HEAD,
        **{name: getattr(reboot, name) for name in _PLAIN},
        **{name: _ms(getattr(reboot, name)) for name in _TIMES},
        "state": reboot.state.value,
        "stopped_by": reboot.stopped_by and reboot.stopped_by.value,
        "active": {name: _member(member) for name, member in reboot.active.items()},
        "failures": {name: _member(member) for name, member in reboot.failures.items()},
        **ends,
    }


def member_row(reboot: GroupReboot, member: Member) -> dict[str, object]:
    """Return the row of one device of the group."""
    return {
        "device": partition(reboot.id),
        "id": MEMBER + member.device,
        **_member(member),
        "delete_at": int((reboot.requested_at + LONGEST + KEPT_AFTER_END).timestamp()),
    }


def to_reboot(item: Mapping[str, Any]) -> GroupReboot:
    """Return the group reboot of a head's item."""
    row = from_item(item)
    plain: dict[str, Any] = {name: row[name] for name in _PLAIN}
    times: dict[str, Any] = {name: None if row[name] is None else from_ms(row[name]) for name in _TIMES}
    return GroupReboot(
        id=id_of(item),
        **plain,
        **times,
        state=State(row["state"]),
        stopped_by=None if row["stopped_by"] is None else StoppedBy(row["stopped_by"]),
        active={name: _to_member(name, value) for name, value in row["active"].items()},
        failures={name: _to_member(name, value) for name, value in row["failures"].items()},
    )


def to_member(item: Mapping[str, Any]) -> Member:
    """Return the member of its own row's item."""
    row = from_item(item)
    return _to_member(row["id"].removeprefix(MEMBER), row)


def id_of(item: Mapping[str, Any]) -> str:
    """Return the group reboot that a row belongs to."""
    name: str = item["device"]["S"]
    return name.removeprefix(partition(""))


def _member(member: Member) -> dict[str, object]:
    return {
        "state": member.state.value,
        "changed_at": to_ms(member.changed_at),
        "command": member.command,
        "started_at": _ms(member.started_at),
        "code": member.code,
        "inferred": member.inferred,
    }


def _to_member(device: str, row: Mapping[str, Any]) -> Member:
    return Member(
        device=device,
        state=MemberState(row["state"]),
        changed_at=from_ms(row["changed_at"]),
        command=row["command"],
        started_at=None if row["started_at"] is None else from_ms(row["started_at"]),
        code=row["code"],
        inferred=row["inferred"],
    )


def _ms(at: datetime | None) -> int | None:
    return None if at is None else to_ms(at)
