"""JSON of a group reboot in the API's answers. Pure."""

from collections.abc import Mapping
from typing import Any

from cloud.domain.commands.group_reboot import GroupReboot, Member, MemberState, State
from cloud.http.handler import location


def submitted(reboot: GroupReboot) -> dict[str, Any]:
    """Return it as it was requested, the same at any time."""
    return {
        "id": reboot.id,
        "group": reboot.group,
        "state": State.SUBMITTED.value,
        "reason": reboot.reason,
        "requested_by": reboot.requested_by,
        "requested_at": reboot.requested_at,
        "max_concurrent": reboot.max_concurrent,
        "stop_after_failures": reboot.stop_after_failures,
        "force": reboot.force,
        "expires_in_s": reboot.expires_in_s,
    }


def summary(reboot: GroupReboot) -> dict[str, Any]:
    """Return its state, its sums, and what is in flight and what failed (together fewer than 200)."""
    done = reboot.total - reboot.waiting - len(reboot.active)
    waiting = "not_started" if reboot.state.final else "waiting"
    return submitted(reboot) | {
        "state": reboot.state.value,
        "stopped_by": reboot.stopped_by and reboot.stopped_by.value,
        "cancelled_by": reboot.cancelled_by,
        "started_at": reboot.started_at,
        "ended_at": reboot.ended_at,
        "progress": round(done / reboot.total, 3) if reboot.listed and reboot.total else None,
        "counts": {
            "total": reboot.total if reboot.listed else None,
            waiting: reboot.waiting,
            "in_flight": len(reboot.active),
            "succeeded": reboot.succeeded,
            "failed": len(reboot.failures),
            "skipped": reboot.skipped,
        },
        "in_flight": [member(reboot, each) for _, each in sorted(reboot.active.items())],
        "failures": [member(reboot, each) for _, each in sorted(reboot.failures.items())],
    }


def member(reboot: GroupReboot, one: Member) -> dict[str, Any]:
    """Return one device of the group; what waits for ever is told as not started."""
    ended = reboot.state.final and one.state is MemberState.WAITING
    shown: dict[str, Any] = {
        "device": one.device,
        "state": (MemberState.NOT_STARTED if ended else one.state).value,
        "changed_at": one.changed_at,
    }
    if one.command is not None:
        shown |= {"command": one.command, "started_at": one.started_at}
    if one.code is not None:
        shown["code"] = one.code
    if one.state is MemberState.FAILED:
        shown["inferred"] = one.inferred
    return shown


def where(reboot: GroupReboot) -> Mapping[str, str]:
    """Return the Location header of a group reboot."""
    return location("groups", reboot.group, "reboots", reboot.id)
