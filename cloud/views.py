"""A device as the API shows it. Pure."""

from datetime import datetime
from typing import Any

from cloud.device import Device
from cloud.presence import flap_count, state


def summary(device: Device, now: datetime, *, offline_debounce_s: float) -> dict[str, Any]:
    """Return one line of a list: its state with reason and since, how steady it is, and what it works on.

    ``flap_count`` is of the disconnects within the last hour; ``disconnect_reason`` is of the last one.
    """
    seen = state(device, now, offline_debounce_s=offline_debounce_s)
    return {
        "name": device.name,
        "group": device.group,
        "state": seen.state,
        "reason": seen.reason,
        "since": seen.since,
        "flap_count": flap_count(device, now),
        "disconnect_reason": device.disconnect_reason,
        "clock_skew_s": device.clock_skew_s,
        "last_report_at": device.last_report_at,
        "agent_version": device.agent_version,
        "level": device.level,
        "architecture": device.architecture,
        "engine": device.engine,
        "desired": _desired(device) or None,
    }


def _desired(device: Device) -> dict[str, Any]:
    """Return what the device says of its document; never CONVERGED where that is another group's."""
    told = dict(device.desired)
    target = told.get("target")
    others = device.group is not None and target not in (None, f"thinggroup/{device.group}")
    if others and told.get("state") == "CONVERGED":
        other = f"it follows revision {told.get('revision')} of {target}"
        told |= {"state": "CONVERGING", "code": "other-document", "message": other}
    return told


def detail(device: Device, now: datetime, *, offline_debounce_s: float) -> dict[str, Any]:
    """Return everything known of a device, its health and applications included."""
    revision = device.desired.get("revision")
    applications = [
        {"revision": revision, **status, "name": name} for name, status in sorted(device.applications.items())
    ]
    return summary(device, now, offline_debounce_s=offline_debounce_s) | {
        "enrolled_at": device.enrolled_at,
        "boot_id": device.boot_id,
        "heartbeat_s": device.interval_s,
        "malformed_messages": device.malformed_messages,
        "health": dict(device.host) or None,
        "applications": applications,
    }
