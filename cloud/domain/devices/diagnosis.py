"""Diagnosis: why a device is, or is not, on its desired revision; one answer with its evidence. Pure.

``RULES`` is a table over facts that are stored already. Every rule that holds is a cause. The first one is
the answer, because the rules are in the order of delivery: is there a deployment, is the device online, did
Greengrass deliver the deployment, could the device read the document, and what became of each application.
No two causes contradict each other: of each of these stages one is told.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from cloud.domain.deployments.deployment import DeploymentState
from cloud.domain.deployments.group_nucleus import CODE, NAMES
from cloud.domain.devices.diagnosis_facts import Cause, DiagnosisFacts, Job

AS_DESIRED = "as-desired"
#: What a device says within this of its job's end it may have begun to say before it.
HEARD_AFTER = timedelta(minutes=1)
#: A clock is called behind from here on: seconds of it are a message's way, and its time in a queue.
BEHIND_S = 10.0
Rule = Callable[[DiagnosisFacts], Iterator[Cause]]


def explain(facts: DiagnosisFacts) -> tuple[Cause, ...]:
    """Return every cause, the one to look at first in front; just ``as-desired`` when all is well."""
    causes = tuple(cause for rule in RULES for cause in rule(facts))
    return causes or (Cause(AS_DESIRED, _as_desired(facts)),)


def _as_desired(facts: DiagnosisFacts) -> str:
    revision = facts.deployment.revision if facts.deployment else facts.device.desired.get("revision")
    return f"it runs revision {revision}"


def _nothing_wanted(facts: DiagnosisFacts) -> Iterator[Cause]:
    if facts.device.group is None:
        yield Cause("no-group", "the device is in no group, so nothing is deployed to it")
    elif facts.deployment is None:
        yield Cause("no-deployment", f"nothing was deployed to its group {facts.device.group} yet")


def _not_there(facts: DiagnosisFacts) -> Iterator[Cause]:
    state, reason, since = facts.seen
    if facts.lost_at is not None and facts.deployment is not None and state == "stale":
        own = facts.lost_at in facts.deployment.own_given_at
        what = f"{'' if own else 'what came before '}revision {facts.deployment.revision}"
        message = f"the device is connected, its agent is silent since {what} was deployed: {reason}"
        agent: dict[str, object] = {"deployment": facts.deployment.id, "deployed_at": facts.lost_at}
        agent["agent_version"] = facts.device.agent_version
        yield Cause("agent-lost", message, since=facts.device.last_report_at, evidence=agent)
        return
    match state:
        case "unknown":
            yield Cause("never-seen", "the device was enrolled and has never connected", since=since)
        case "offline":
            yield Cause("device-offline", f"the device is offline: {reason}", since=since)
        case "stale":
            yield Cause("agent-stale", f"the device is connected, its agent is silent: {reason}", since=since)


def _other_nucleus(facts: DiagnosisFacts) -> Iterator[Cause]:
    own, wanted = facts.device.nucleus, facts.nucleus
    if own is not None and wanted is not None and own is not wanted:
        message = (
            f"the device has {NAMES[own]}, and its group {facts.device.group} is of {NAMES[wanted]}, so what "
            f"is deployed to the group does not fit it: move it into a group of {NAMES[own]}"
        )
        yield Cause(CODE, message, evidence={"nucleus": own.value, "group_nucleus": wanted.value})


def _not_submitted(facts: DiagnosisFacts) -> Iterator[Cause]:
    if facts.deployment is not None and facts.deployment.state is DeploymentState.SUBMITTING:
        yield Cause(
            "deployment-submitting",
            "Greengrass has not confirmed the deployment yet",
            since=facts.deployment.created_at,
        )


def _not_read(facts: DiagnosisFacts) -> Iterator[Cause]:
    desired, evidence = facts.device.desired, {"document_sha256": facts.wanted_sha256}
    if (refused := facts.refused) is not None:
        since = _since(desired) if desired.get("code") == refused.get("code") else None
        in_force = {"refused": True, "revision_on_device": desired.get("revision")}
        said = f"the device will not follow this revision: {refused.get('message')}"
        yield Cause(str(refused.get("code")), said, since=since, evidence=evidence | in_force)
    elif facts.referred:
        code, message = desired.get("code"), desired.get("message")
        if code is None or _is_the_engines(code, facts):
            message = "the device has the reference and fetches the document"
            yield Cause("document-on-its-way", message, evidence=evidence)
        else:
            said = message or "the device has the reference and not the document"
            yield Cause(str(code), str(said), since=_since(desired), evidence=evidence)


def _since(desired: Mapping[str, Any]) -> datetime | None:
    """Return since when the device's code holds, by its own clock."""
    told = desired.get("since")
    return None if told is None or desired.get("code") is None else datetime.fromisoformat(told)


#: The IoT Job execution's status → code and text.
_JOBS: Mapping[str, tuple[str, str]] = {
    "QUEUED": ("waiting-for-nucleus", "the deployment waits for the device's nucleus to take it"),
    "IN_PROGRESS": ("nucleus-at-work", "the device's nucleus carries the deployment out"),
    "FAILED": ("job-failed", "the device's nucleus could not carry the deployment out"),
    "TIMED_OUT": ("job-timed-out", "the device's nucleus did not end the deployment in time"),
    "REJECTED": ("job-rejected", "the device's nucleus refused the deployment"),
    "CANCELED": ("job-cancelled", "the deployment was cancelled before the device took it"),
    "REMOVED": ("job-removed", "the deployment was removed before the device took it"),
    "SUCCEEDED": (  # and the device has reported since
        "reference-missing",
        "the nucleus is done, and the agent does not have the document's reference",
    ),
}
_VALIDATION = ("validat",)  # the nucleus' words when a component called the configuration invalid


def job_words(job: Job) -> tuple[str, str]:
    """Return the code for a job's status, and the text with Greengrass' reason."""
    code, message = _JOBS.get(job.status, ("job-unknown", f"the job execution is {job.status}"))
    invalid = any(word in (job.reason or "").lower() for word in _VALIDATION)
    if code in ("job-failed", "job-rejected") and invalid:
        code, message = "validation-rejected", "the device's agent refused the deployment before it began"
    return code, f"{message}: {job.reason}" if job.reason else message


def _other_document(facts: DiagnosisFacts) -> Iterator[Cause]:
    """The job is done, the device has reported since, and does not follow its group's latest document."""
    deployment = facts.deployment
    if facts.led_away or (deployment is not None and _is_kept(facts)):
        yield Cause("other-document", _other(facts), evidence=_its_document(facts))


def _is_kept(facts: DiagnosisFacts) -> bool:
    """Whether what the device works on is nothing that is still on its way to be replaced."""
    desired, deployment = facts.device.desired, facts.deployment
    if deployment is None or deployment.greengrass_id is None or desired.get("deployment_id") is None:
        return False
    if facts.arrived or facts.referred or facts.refused is not None:
        return False
    return _heard_since_the_job(facts)


def _heard_since_the_job(facts: DiagnosisFacts) -> bool:
    """Whether the job is done, and the device's last report came after that."""
    job, said_at = facts.job, facts.device.last_report_at
    if job is None or job.status != "SUCCEEDED" or job.changed_at is None or said_at is None:
        return False
    return said_at > job.changed_at + HEARD_AFTER


def _is_of_another_group(facts: DiagnosisFacts) -> bool:
    target, deployment = facts.device.desired.get("target"), facts.deployment
    return deployment is not None and target is not None and target != deployment.target


def _other(facts: DiagnosisFacts) -> str:
    desired = facts.device.desired
    if facts.led_away:
        return "the device runs the revision, and its configuration refers to another document now"
    has = f"the device follows revision {desired.get('revision')} of {desired.get('target') or 'its group'}"
    done = "Greengrass says that it is done, and "
    if _is_of_another_group(facts):
        return (
            f"{done}{has}, where it was before: a classic nucleus keeps the value of the deployment made "
            "last, unless its configuration says deploymentConfigurationTimeSource: deploymentProcessingTime"
        )
    kept, skew = f"{done}{has}: its configuration kept an older value", facts.device.clock_skew_s
    if skew is None or skew > -BEHIND_S:
        return kept
    return f"{kept}, as it does where its clock is behind (it is {-skew:.0f} s behind)"


def _its_document(facts: DiagnosisFacts) -> dict[str, object]:
    desired = facts.device.desired
    found: dict[str, object] = {
        name: desired.get(name)
        for name in ("target", "revision", "deployment_id", "wanted_sha256", "code", "message")
    }
    found |= {"clock_skew_s": facts.device.clock_skew_s, "job_status": facts.job and facts.job.status}
    found["deployment"] = facts.deployment and facts.deployment.id
    return {name: value for name, value in found.items() if value is not None}


def _not_brought(facts: DiagnosisFacts) -> Iterator[Cause]:
    deployment = facts.deployment
    if deployment is None or deployment.greengrass_id is None or facts.arrived:
        return
    if facts.referred or facts.refused is not None or _is_kept(facts):
        return  # it was brought, or what is there instead is told
    has = facts.device.desired.get("revision")
    evidence: dict[str, object] = {"deployment": deployment.id, "revision_on_device": has}
    if _is_of_another_group(facts):
        evidence["target_on_device"] = facts.device.desired.get("target")
    if facts.job is None:
        if facts.job_known:
            message = "Greengrass has not rolled the deployment out to this device yet"
            yield Cause("not-rolled-out", message, since=deployment.created_at, evidence=evidence)
        else:
            message = "the device has another revision; Greengrass did not say how far this one is"
            yield Cause("not-arrived", message, since=deployment.created_at, evidence=evidence)
        return
    code, said = job_words(facts.job)
    if facts.job.status == "SUCCEEDED" and not _heard_since_the_job(facts):
        code, said = "report-awaited", "the device's nucleus is done, and its agent has not reported since"
    evidence["job_status"] = facts.job.status
    yield Cause(code, said, since=facts.job.changed_at, evidence=evidence)


def _engine(facts: DiagnosisFacts) -> Iterator[Cause]:
    if facts.device.engine == "unavailable":
        yield Cause("engine-unavailable", "the container engine on the device does not answer")


def _is_the_engines(code: object, facts: DiagnosisFacts) -> bool:
    """Whether what the device says of its document is what ``_engine`` tells already."""
    return any(cause.code == code for cause in _engine(facts))


#: What counts more when several applications are not as wanted; the others follow in order of name.
_WORST = ("FAILED", "ROLLED_BACK", "UNHEALTHY", "STOPPED", "PULLING", "STARTING", "PENDING")
_WORDS: Mapping[str, tuple[str, str]] = {
    "FAILED": ("failed", "it failed, and there was no previous version to bring back"),
    "ROLLED_BACK": ("rolled-back", "the wanted version failed, and the previous one runs again"),
    "UNHEALTHY": ("unhealthy", "it runs and is not healthy"),
    "STOPPED": ("stopped", "its container exists and does not run"),
    "PULLING": ("pulling", "its image is on the way"),
    "STARTING": ("starting", "it runs and has not been healthy yet"),
    "PENDING": ("pending", "nothing of it has been done yet"),
}


def _applications(facts: DiagnosisFacts) -> Iterator[Cause]:
    if not facts.arrived:
        return
    names = facts.device.application_names or tuple(facts.device.applications)
    found = [(name, facts.device.applications.get(name, {"state": "PENDING"})) for name in names]
    amiss = [(n, s) for n, s in found if s.get("state") in _WORST and not _is_done(s, facts)]
    for name, status in sorted(amiss, key=lambda each: (_WORST.index(each[1]["state"]), each[0])):
        yield _application(name, status)


def _is_done(status: Mapping[str, Any], facts: DiagnosisFacts) -> bool:
    """Whether it ended as it should: an application that is not restarted, on a device that has converged."""
    return bool(status["state"] == "STOPPED" and facts.device.desired.get("state") == "CONVERGED")


def _application(name: str, status: Mapping[str, Any]) -> Cause:
    code, message = _WORDS[status["state"]]
    rollback = status.get("rollback") or {}
    percent = status.get("pull_percent")
    if percent is not None:
        message = f"{message}: {percent} %"
    said = status.get("message") or rollback.get("reason")
    if said:
        message = f"{message}: {said}"
    told = ("state", "image", "pull_percent", "rollback", "last_lines")
    return Cause(
        str(status.get("code") or rollback.get("code") or code),
        message,
        application=name,
        next_try_at=status.get("next_try_at"),
        evidence={key: status[key] for key in told if status.get(key)},
    )


def _converging(facts: DiagnosisFacts) -> Iterator[Cause]:
    desired = facts.device.desired
    if not facts.arrived or facts.led_away or desired.get("state") == "CONVERGED":
        return
    code, message = desired.get("code"), desired.get("message")
    if not any(_applications(facts)) and not _is_the_engines(code, facts):
        said = str(message or "the device has the revision and works on it")
        yield Cause(str(code or "converging"), said, since=_since(desired))


#: In the order of the chain from the wish to the container.
RULES: tuple[Rule, ...] = (
    _nothing_wanted,
    _not_there,
    _other_nucleus,
    _not_submitted,
    _not_read,
    _other_document,
    _not_brought,
    _engine,
    _applications,
    _converging,
)
