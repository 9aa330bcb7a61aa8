"""Examples of each answer, and of each name in a path: all of one small fleet at one moment.

They are for the description alone; tests validate them against the models.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from cloud.openapi.models import answers, audit, commands, deployments, devices, groups, images

Example = dict[str, Any]

_MADE_AT, _BACK_AT, _NOW = "2026-11-22T08:00:00Z", "2026-11-22T08:01:12Z", "2026-11-22T08:05:00Z"
_DEVICE, _GROUP, _WHY = "robot-7", "line-3", "the conveyor stands still"
_COMMAND = "cmd-01m8139n80f4g6zr7x2wtk5c9b"
_REBOOT = "reboot-01m8139n80f4g6zr7x2wtk5c9c"
_DEPLOYMENT = "dep-01m8139n80f4g6zr7x2wtk5c9d"
_DIGEST = f"sha256:{'3f' * 32}"
_REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
_IMAGE = f"{_REGISTRY}/fleetgrass/hello@{_DIGEST}"

#: What names a thing in a path, by the parameter's name.
PARAMETERS: Mapping[str, str] = {
    "device": _DEVICE,
    "group": _GROUP,
    "app": "web",
    "command": _COMMAND,
    "deployment": _DEPLOYMENT,
    "reboot": _REBOOT,
    "repository": "hello",
}

# Devices

_summary: Example = {
    "name": _DEVICE, "group": _GROUP, "state": "online", "reason": "connected", "since": _MADE_AT,
    "flap_count": 0, "disconnect_reason": None, "clock_skew_s": 0.2, "last_report_at": _NOW,
    "agent_version": "1.0.0", "level": 1, "nucleus": "classic", "architecture": "arm64", "engine": "27.3.1",
    "desired": {"state": "CONVERGED", "target": f"thinggroup/{_GROUP}", "revision": 7,
                "deployment_id": _DEPLOYMENT},
}  # fmt: skip
_figures: Example = {
    "uptime_s": 86_400.0, "cpu_percent": 12.5, "memory_total_bytes": 8_589_934_592,
    "memory_available_bytes": 6_442_450_944, "disk_total_bytes": 68_719_476_736,
    "disk_free_bytes": 34_359_738_368, "temperature_c": 48.0,
}  # fmt: skip
_application: Example = {
    "name": "web", "state": "RUNNING", "image": _IMAGE, "revision": 7, "cpu_percent": 2.5,
    "memory_bytes": 67_108_864,
}  # fmt: skip
_cause: Example = {
    "code": "device-offline", "message": "the device is not connected", "since": _MADE_AT,
    "evidence": {"disconnect_reason": "CONNECTION_LOST"},
}  # fmt: skip
_devices: dict[type[BaseModel], Example] = {
    devices.DevicePage: {"devices": [_summary], "cursor": None},
    devices.DeviceDetail: {
        **_summary, "enrolled_at": "2026-11-01T09:00:00Z", "boot_id": "8c3f0b52-6d0e-4a8e-9a57-2f4f6f0f1c11",
        "heartbeat_s": 60.0, "malformed_messages": 0, "health": {"architecture": "arm64", **_figures},
        "applications": [_application],
    },
    devices.Explanation: {
        **_cause, "device": _DEVICE, "as_desired": False,
        "desired": {"revision": 7, "deployment": _DEPLOYMENT},
        "on_device": {"target": f"thinggroup/{_GROUP}", "revision": 6, "deployment_id": None,
                      "state": "CONVERGED"},
        "causes": [_cause], "asked_at": _NOW,
    },
    devices.History: {
        "device": _DEVICE, "from": _MADE_AT, "to": _NOW, "interval_s": 300.0,
        "points": [{
            "at": _MADE_AT, **_figures, "clock_skew_s": 0.2, "engine": "27.3.1",
            "applications": {"RUNNING": 1}, "state_changes": None,
        }],
    },
}  # fmt: skip

# Commands

_accepted: Example = {
    "id": _COMMAND, "device": _DEVICE, "kind": "reboot", "state": "PENDING", "issued_at": _MADE_AT,
    "expires_at": "2026-11-22T08:15:00Z", "requested_by": "ada", "reason": _WHY, "part_of": None,
    "when_online": False, "force": False, "override_budget": False, "warnings": [],
}  # fmt: skip
_stands: Example = {**_accepted, "state": "SUCCEEDED", "inferred": False, "changed_at": _BACK_AT}
_commands: dict[type[BaseModel], Example] = {
    commands.CommandAccepted: _accepted,
    commands.CommandPage: {"commands": [_stands], "cursor": None},
    commands.Command: {
        **_stands,
        "transitions": [
            {"state": "PENDING", "at": _MADE_AT, "by": "ada"},
            {"state": "SUCCEEDED", "at": _BACK_AT, "by": "device", "device_time": _BACK_AT},
        ],
        "boot_id_before": "8c3f0b52-6d0e-4a8e-9a57-2f4f6f0f1c11",
        "boot_id": "1de1c4f7-53a8-4c3b-8a51-0b6c1f1f8a02", "down_s": 41.5, "clock": "server",
    },
}  # fmt: skip

# Groups

_latest: Example = {"deployment": _DEPLOYMENT, "revision": 7, "state": "ACTIVE"}
_group: Example = {
    "name": _GROUP, "nucleus": "classic", "devices": 12, "devices_exact": True, "latest": _latest,
}  # fmt: skip
_submitted: Example = {
    "id": _REBOOT, "group": _GROUP, "state": "SUBMITTED", "reason": "kernel update", "requested_by": "ada",
    "requested_at": _MADE_AT, "max_concurrent": 5, "stop_after_failures": 2, "force": False,
    "expires_in_s": 900.0,
}  # fmt: skip
_member: Example = {
    "device": _DEVICE, "state": "IN_FLIGHT", "changed_at": _MADE_AT, "command": _COMMAND,
    "started_at": _MADE_AT, "inferred": False,
}  # fmt: skip
_running: Example = {
    **_submitted, "state": "RUNNING", "stopped_by": None, "cancelled_by": None, "started_at": _MADE_AT,
    "ended_at": None, "progress": 0.5, "in_flight": [_member], "failures": [],
    "counts": {"total": 12, "waiting": 5, "in_flight": 1, "succeeded": 6, "failed": 0, "skipped": 0},
}  # fmt: skip
_groups: dict[type[BaseModel], Example] = {
    groups.GroupPage: {"groups": [_group], "cursor": None},
    groups.GroupCreated: {
        "name": "line-4", "description": "the fourth line", "nucleus": "lite", "devices": 0,
        "devices_exact": True, "latest": None,
    },
    groups.DevicePlaced: {"device": _DEVICE, "group": _GROUP, "before": None},
    groups.GroupRebootSubmitted: _submitted,
    groups.GroupRebootCancelled: {
        **_running, "state": "STOPPING", "stopped_by": "cancel", "cancelled_by": "ada", "warnings": [],
    },
    groups.GroupReboot: {**_running, "members": [_member], "cursor": None},
}  # fmt: skip

# Deployments and images

_revision: Example = {
    "id": _DEPLOYMENT, "target": {"group": _GROUP}, "revision": 7, "state": "ACTIVE", "created_at": _MADE_AT,
}  # fmt: skip
_change: Example = {
    "diff": {"added": ["web"], "removed": [], "changed": [], "unchanged": []}, "warnings": [],
    "applications": [{"name": "web", "image": _IMAGE}],
}  # fmt: skip
_listed: Example = {**_revision, "requested_by": "ada", "reason": None, "changed_at": _BACK_AT}
_deployments: dict[type[BaseModel], Example] = {
    deployments.DeploymentCreated: {**_revision, **_change},
    deployments.DeploymentPage: {"deployments": [_listed], "cursor": None},
    deployments.Deployment: {
        **_listed, **_change, "counts": {"RUNNING": 1},
        "devices": [{"device": _DEVICE, "state": "RUNNING", "received_at": _BACK_AT}],
    },
    images.RepositoryPage: {
        "repositories": [
            {"name": "hello", "uri": f"{_REGISTRY}/fleetgrass/hello", "created_at": _MADE_AT}
        ],
        "cursor": None, "truncated": False,
    },
    images.ImagePage: {
        "repository": "hello", "cursor": None, "truncated": False,
        "images": [{
            "digest": _DIGEST, "tags": ["v1"], "size_bytes": 12_582_912, "pushed_at": _MADE_AT,
            "media_type": "application/vnd.oci.image.manifest.v1+json",
            "scan": {"status": "COMPLETE", "completed_at": _BACK_AT, "findings": {"LOW": 2}},
        }],
    },
}  # fmt: skip

# The audit, and answers of no single resource

_entry: Example = {
    "v": 1, "day": "2026-11-22", "sequence": 1, "previous": "0" * 64, "hash": "9c" * 32, "at": _MADE_AT,
    "request_id": "VJ9xPhbkDoEEP6g=", "operation": "reboot-device", "outcome": "succeeded", "status": 202,
    "caller": {"issuer": "https://id.example", "subject": "ada", "kind": "user"},
    "target": {"device": _DEVICE}, "reason": _WHY, "after": {"command": _COMMAND},
}  # fmt: skip
#: A line of the export.
AUDIT_LINE = json.dumps(_entry, sort_keys=True) + "\n"

#: By model; every answer has one.
EXAMPLES: Mapping[type[BaseModel], Example] = {
    **_devices,
    **_commands,
    **_groups,
    **_deployments,
    audit.AuditPage: {"day": "2026-11-22", "entries": [_entry], "cursor": None},
    audit.AuditVerdict: {
        "day": "2026-11-22", "intact": True, "entries": 1, "head": "9c" * 32, "cursor": None,
    },
    answers.Health: {"status": "ok"},
    answers.Description: {
        "openapi": "3.1.0", "info": {"title": "fleetgrass", "version": "1"}, "servers": [{"url": "/"}],
        "security": [{"bearer": []}], "paths": {}, "components": {},
    },
    answers.Problem: {
        "type": "urn:fleetgrass:problem:device-not-found", "title": "Not Found", "status": 404,
        "detail": f"there is no device {_DEVICE}", "code": "device-not-found",
        "request_id": "VJ9xPhbkDoEEP6g=",
    },
    answers.GatewayMessage: {"message": "Too Many Requests"},
}  # fmt: skip
