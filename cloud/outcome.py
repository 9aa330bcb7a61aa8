"""What a device's reports mean for the deployment that it works on. Pure."""

from collections.abc import Mapping
from typing import Any

from cloud.device import Device
from contract.reports import ApplicationState


def outcome(device: Device) -> Mapping[str, Any] | None:
    """Return how far ``device`` is with its deployment; None while it has none.

    ``state`` is RUNNING (every application runs at that revision), ROLLED_BACK or FAILED (one of
    them is; ``code`` and ``message`` say why), or IN_PROGRESS.
    """
    desired = device.desired
    if not desired.get("deployment_id"):
        return None
    told: dict[str, Any] = {"revision": desired.get("revision")}
    for bad in (ApplicationState.ROLLED_BACK, ApplicationState.FAILED):
        for name, status in sorted(device.applications.items()):
            if status["state"] == bad:
                rollback = status.get("rollback") or {}
                why = {
                    "code": rollback.get("code") or status.get("code"),
                    "message": rollback.get("reason") or status.get("message"),
                }
                return told | {"state": bad.value, "application": name} | _known(why)
    if desired["state"] == "FAILED":
        return told | {"state": "FAILED"} | _known({k: desired.get(k) for k in ("code", "message")})
    names = device.application_names
    runs = names is not None and all(
        device.applications.get(name, {}).get("state") == ApplicationState.RUNNING for name in names
    )
    return told | {"state": "RUNNING" if runs and desired["state"] == "CONVERGED" else "IN_PROGRESS"}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
