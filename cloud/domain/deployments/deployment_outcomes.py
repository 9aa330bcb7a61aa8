"""Outcomes of a deployment: on each device, and on all of them together. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cloud.domain.deployments.deployment import Deployment
from cloud.domain.deployments.lost_agents import lost_with
from cloud.domain.devices.device import Device
from contract.documents import parse_document_uri
from contract.names import Identifier
from contract.reports import ApplicationState

OF_JOB = "of_job"  # in a recorded outcome: how the nucleus' job ended, where the device said nothing
_IDENTIFIER = TypeAdapter(Identifier)


class OutcomeState(StrEnum):
    """The state of a deployment on one device."""

    PENDING = "PENDING"  # the device has not said that it has the document
    IN_PROGRESS = "IN_PROGRESS"
    RUNNING = "RUNNING"  # every application runs, healthy, at this revision, or ended well for good
    ROLLED_BACK = "ROLLED_BACK"  # an application failed, and its previous one runs again
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class DeviceOutcome:
    """One device's outcome with the reason, ready for the table (``to_dict``).

    ``refused``: the device will not follow this document; what was in force before it stays so.
    """

    deployment_id: str
    state: OutcomeState
    application: str | None = None  # which one the reason is about
    code: str | None = None
    message: str | None = None
    refused: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON types, without what is None and without the deployment's id."""
        told = {
            "state": self.state.value,
            "application": self.application,
            "code": self.code,
            "message": self.message,
            "refused": self.refused or None,
        }
        return {name: value for name, value in told.items() if value is not None}


def outcome_of(
    desired: Mapping[str, Any], applications: Mapping[str, Mapping[str, Any]]
) -> DeviceOutcome | None:
    """Return the outcome of the deployment that a device's newest report names; None if it names none.

    ``desired`` and ``applications`` are ``DesiredStatus`` and ``ApplicationStatus`` (contract.reports)
    as JSON types, of the device's merged row; an empty status means that nothing is known yet. The
    worst application gives the reason. None too while the device is on its way to another document.
    """
    deployment_id = desired.get("deployment_id")
    if not isinstance(deployment_id, str) or not _is_identifier(deployment_id):
        return None  # it becomes a key, and a device may say anything
    for wanted, state in (
        (ApplicationState.FAILED, OutcomeState.FAILED),
        (ApplicationState.ROLLED_BACK, OutcomeState.ROLLED_BACK),
    ):
        for name, status in sorted(applications.items()):
            if status.get("state") == wanted:
                return _reasoned(deployment_id, state, name, status)
    if desired.get("wanted_sha256") is not None:
        return None  # the problem is another document's arrival; nothing new is known of this one
    if desired.get("state") == "FAILED":  # and no application says why
        return DeviceOutcome(
            deployment_id, OutcomeState.FAILED, None, desired.get("code"), desired.get("message")
        )
    converged = desired.get("state") == "CONVERGED"
    # A device that says CONVERGED says of what it stopped that it ended well, and is not to run again.
    well = {ApplicationState.RUNNING, ApplicationState.STOPPED} if converged else {ApplicationState.RUNNING}
    for name, status in sorted(applications.items()):
        if status.get("state") not in well:
            return _reasoned(deployment_id, OutcomeState.IN_PROGRESS, name, status)
    if not converged:
        return DeviceOutcome(
            deployment_id, OutcomeState.IN_PROGRESS, None, desired.get("code"), desired.get("message")
        )
    return DeviceOutcome(deployment_id, OutcomeState.RUNNING)


def refusal_of(desired: Mapping[str, Any]) -> DeviceOutcome | None:
    """Return the outcome of the document that a device says it will not follow; None where it says of none.

    The document in force has an outcome of its own (``outcome_of``), and one of both is never the other's.
    """
    refused = desired.get("refused") or {}
    deployment_id = refused.get("deployment_id")
    if not isinstance(deployment_id, str) or not _is_identifier(deployment_id):
        return None
    if deployment_id == desired.get("deployment_id"):
        return None  # it is in force all the same: an older refusal
    return DeviceOutcome(
        deployment_id, OutcomeState.FAILED, None, refused.get("code"), refused.get("message"), refused=True
    )


#: What a device says of a document that it has and cannot read, now or later: no version of it is another.
_UNUSABLE = ("desired-invalid",)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem of a deployment as a whole (``code`` None: none), and how many agents it silenced."""

    code: str | None = None
    message: str | None = None
    agents_lost: int = 0
    silenced_at: tuple[datetime, ...] = ()  # by what they were lost


def as_they_are(
    deployment: Deployment,
    rows: Mapping[str, Device],
    members: Collection[str],
    recorded: Mapping[str, Mapping[str, Any]],
) -> dict[str, Mapping[str, Any]]:
    """Return every member's outcome of the deployment in force, in order of name.

    It is what was recorded (``by_device``), but for what its row says now: a device that works on another
    document since does not run this one, and one that cannot have it tells why.
    """
    return {
        name: _as_it_is(deployment, rows.get(name), told, of_job=OF_JOB in recorded.get(name, ()))
        for name, told in by_device(members, recorded).items()
    }


def _as_it_is(
    deployment: Deployment, row: Device | None, told: Mapping[str, Any], *, of_job: bool
) -> Mapping[str, Any]:
    if row is None or row.last_report_at is None:
        return told
    heard_at, desired = told.get("received_at"), row.desired
    if of_job and desired.get("deployment_id") == deployment.id:
        said = outcome_of(desired, row.applications)
        return told if said is None else _told(row, said)
    if desired.get("deployment_id") == deployment.id or told.get("refused"):
        return told
    if heard_at is not None and row.last_report_at < heard_at:
        return told  # the row was read before it was written
    wanted = desired.get("wanted_sha256")
    if wanted is not None and wanted == parse_document_uri(deployment.document_uri)[2]:
        code = desired.get("code")
        state = OutcomeState.FAILED if code in _UNUSABLE else OutcomeState.PENDING
        return _told(row, DeviceOutcome(deployment.id, state, None, code, desired.get("message")))
    moved = desired.get("target") not in (None, deployment.target)
    if heard_at is None and not moved:
        return told
    other = f"it follows revision {desired.get('revision')} of {desired.get('target') or 'no group'}"
    return _told(row, DeviceOutcome(deployment.id, OutcomeState.PENDING, None, "other-document", other))


def _told(row: Device, outcome: DeviceOutcome) -> dict[str, Any]:
    return outcome.to_dict() | {"received_at": row.last_report_at}


def trouble(
    deployment: Deployment,
    rows: Mapping[str, Device],
    outcomes: Mapping[str, Mapping[str, Any]],
    now: datetime,
) -> Trouble:
    """Return the problem of the current deployment: all devices refuse it, or it silenced agents."""
    lost = lost_with(deployment, rows, now)
    silenced_at = tuple(sorted(set(lost.values())))
    said = [outcome for outcome in outcomes.values() if _is_refusal(outcome)]
    if said and len(said) == len(outcomes):
        reasons = Counter((each.get("code"), each.get("message")) for each in said)
        (code, message), of_them = reasons.most_common(1)[0]
        most = "" if of_them == len(said) else f", {of_them} of them for this"
        text = f"{len(said)} of {len(outcomes)} devices refused it{most}: {code}: {message}"
        return Trouble("refused-by-all", text[:512], len(lost), silenced_at)
    if lost:
        are = "devices is connected and its" if len(lost) == 1 else "devices are connected and their"
        names = ", ".join([*lost][:3]) + (", …" if len(lost) > 3 else "")
        by = (
            "this deployment"
            if set(silenced_at) <= {*deployment.own_given_at}
            else "this one or one before it"
        )
        text = f"{len(lost)} of {len(outcomes)} {are} agent is silent since {by}: {names}"
        return Trouble("agent-lost", text[:512], len(lost), silenced_at)
    return Trouble()


def _is_refusal(outcome: Mapping[str, Any]) -> bool:
    failed = outcome["state"] == OutcomeState.FAILED
    return failed and bool(outcome.get("refused") or outcome.get("code") in _UNUSABLE)


def by_device(
    members: Collection[str], recorded: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Return every member's outcome, in order of name: who said nothing is PENDING.

    What a device outside the target claims about the deployment is left out.
    """
    silent = {"state": OutcomeState.PENDING.value}
    found = {device: recorded.get(device, silent) for device in sorted(members)}
    return {
        device: {name: value for name, value in told.items() if name != OF_JOB}
        for device, told in found.items()
    }


def counts(outcomes: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return how many devices are in each state, states without devices included."""
    counted = Counter(outcome["state"] for outcome in outcomes.values())
    return {state.value: counted[state.value] for state in OutcomeState}


def all_run(members: Collection[str], recorded: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether there are members and every one runs the revision."""
    return bool(members) and all(
        recorded.get(device, {}).get("state") == OutcomeState.RUNNING for device in members
    )


def _is_identifier(value: str) -> bool:
    try:
        _IDENTIFIER.validate_python(value)
    except ValidationError:
        return False
    return True


def _reasoned(deployment_id: str, state: OutcomeState, name: str, status: Mapping[str, Any]) -> DeviceOutcome:
    rollback = status.get("rollback") or {}
    return DeviceOutcome(
        deployment_id,
        state,
        name,
        status.get("code") or rollback.get("code"),
        status.get("message") or rollback.get("reason"),
    )
