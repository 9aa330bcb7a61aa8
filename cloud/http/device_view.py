"""JSON of a device in the API's answers. Pure."""

from datetime import datetime
from typing import Any

from cloud.domain.deployments.deployment import Deployment
from cloud.domain.devices.device import Device
from cloud.domain.devices.diagnosis_facts import DiagnosisFacts
from cloud.domain.devices.presence import Seen, flap_count, state


def summary(
    device: Device, wanted: Deployment | None, now: datetime, *, offline_debounce_s: float
) -> dict[str, Any]:
    """Return one line of a list: its state with reason and since, how steady it is, and what it works on.

    ``wanted`` is what its group's devices are to have (``wanted_of``), None where nothing was deployed.
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
        "nucleus": device.nucleus,
        "architecture": device.architecture,
        "engine": device.engine,
        "desired": _desired(device, wanted, seen) or None,
    }


def _desired(device: Device, wanted: Deployment | None, seen: Seen) -> dict[str, Any]:
    """Return what the device says of its document; never CONVERGED where that is not the wanted one."""
    told = dict(device.desired)
    if told.get("state") != "CONVERGED" or device.group is None:
        return told
    target, facts = told.get("target"), DiagnosisFacts(device, seen, wanted)
    if wanted is None:
        others = target not in (None, f"thinggroup/{device.group}")
    else:
        others = not facts.arrived or facts.led_away
    if others:
        other = f"it follows revision {told.get('revision')} of {target or 'its group'}"
        if facts.led_away:
            other = "its configuration refers to another document"
        told |= {"state": "CONVERGING", "code": "other-document", "message": other}
    return told


def detail(
    device: Device, wanted: Deployment | None, now: datetime, *, offline_debounce_s: float
) -> dict[str, Any]:
    """Return everything known of a device, its health and applications included."""
    revision = device.desired.get("revision")
    applications = [
        {"revision": revision, **status, "name": name} for name, status in sorted(device.applications.items())
    ]
    return summary(device, wanted, now, offline_debounce_s=offline_debounce_s) | {
        "enrolled_at": device.enrolled_at,
        "boot_id": device.boot_id,
        "heartbeat_s": device.interval_s,
        "malformed_messages": device.malformed_messages,
        "health": dict(device.host) or None,
        "applications": applications,
    }
