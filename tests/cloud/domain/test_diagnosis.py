"""GET /devices/{device}/why: each row of the table of rules, their order, and what is asked of whom."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cloud.auth.permissions import Role
from cloud.aws.account import Account
from cloud.aws.errors import Unavailable
from cloud.aws.greengrass import Greengrass
from cloud.domain.deployments.deployment import Deployment, DeploymentState
from cloud.domain.deployments.greengrass import TargetDeployment
from cloud.domain.devices.device import Device
from cloud.domain.devices.diagnosis import explain
from cloud.domain.devices.diagnosis_facts import DiagnosisFacts, Job
from cloud.domain.devices.presence import Seen
from cloud.functions.devices.explain_device import explain_device
from cloud.tables.deployments import Deployments
from contract.names import COMPONENT, Nucleus
from tests.support.cloud.answers import served
from tests.support.cloud.api import ACCOUNT, NOW, REGION, Clock, FakeDevices, an_event, body_of
from tests.support.cloud.fakes import FakeGreengrass, FakeGroups

ROUTE = "GET /devices/{device}/why"
OUR_ACCOUNT = Account("aws", REGION, ACCOUNT)
OURS, OLDER = "dep-01kanm5phz0123456789abcdef", "dep-01kanm5phz0123456789abcdee"
SHA = "a" * 64
DEPLOYMENT = Deployment(
    id=OURS, target="thinggroup/line-3", revision=8, document_uri=f"s3://bucket/desired/{SHA}.json",
    applications=(), diff={}, warnings=(), requested_by="ada", reason=None,
    created_at=NOW - timedelta(minutes=9), changed_at=NOW - timedelta(minutes=9),
    state=DeploymentState.ACTIVE, greengrass_id="gg-8", job_id="job-8",
)  # fmt: skip
AT_IT = {"deployment_id": OURS, "revision": 8, "state": "CONVERGED", "document_sha256": SHA}
BEHIND = {"deployment_id": OLDER, "revision": 7, "state": "CONVERGED", "document_sha256": "b" * 64}
REFUSED = {
    "deployment_id": OURS, "revision": 8, "sha256": SHA, "code": "policy-forbids",
    "message": "web: host network is not allowed here",
}  # fmt: skip
DEVICE = Device(
    name="robot-7", group="line-3", enrolled_at=NOW, connected=True, connected_since=NOW, last_report_at=NOW,
    stale_at=NOW + timedelta(minutes=3), engine="20.10", desired=AT_IT, application_names=("web",),
    applications={"web": {"name": "web", "state": "RUNNING"}},
)  # fmt: skip
FACTS = DiagnosisFacts(DEVICE, Seen("online", "connected", NOW), DEPLOYMENT)
HOUR_AGO = NOW - timedelta(hours=1)
DONE = Job("SUCCEEDED", changed_at=NOW - timedelta(minutes=8))  # and DEVICE was heard since
JUST_DONE = Job("SUCCEEDED", changed_at=NOW - timedelta(seconds=20))


def a_device(**changes: Any) -> DiagnosisFacts:
    return replace(FACTS, device=replace(DEVICE, **changes))


def with_web(state: str, **status: Any) -> DiagnosisFacts:
    return a_device(
        desired=AT_IT | {"state": "CONVERGING"},
        applications={"web": {"name": "web", "state": state, **status}},
    )


def behind(job: Job | None, *, known: bool = True, **desired: Any) -> DiagnosisFacts:
    return replace(a_device(desired=BEHIND | desired), job=job, job_known=known)


#: The table, row by row: facts → code and a part of the message.
ROWS: dict[str, tuple[DiagnosisFacts, str, str]] = {
    "all well": (FACTS, "as-desired", "revision 8"),
    "in no group": (a_device(group=None), "no-group", "in no group"),
    "nothing deployed": (replace(FACTS, deployment=None), "no-deployment", "line-3"),
    "offline": (
        replace(behind(None), seen=Seen("offline", "mqtt-keep-alive-timeout", HOUR_AGO)),
        "device-offline",
        "mqtt-keep-alive-timeout",
    ),
    "never seen": (
        replace(behind(None), seen=Seen("unknown", "never-seen", HOUR_AGO)),
        "never-seen",
        "enrolled",
    ),
    "stale": (
        replace(FACTS, seen=Seen("stale", "heartbeat-missed", HOUR_AGO)),
        "agent-stale",
        "heartbeat-missed",
    ),
    "of the other nucleus": (
        replace(a_device(nucleus=Nucleus.LITE), nucleus=Nucleus.CLASSIC),
        "nucleus-mismatch",
        "has Nucleus Lite, and its group line-3 is of the classic nucleus",
    ),
    "of its group's nucleus": (
        replace(a_device(nucleus=Nucleus.LITE), nucleus=Nucleus.LITE),
        "as-desired",
        "revision 8",
    ),
    "of a nucleus nobody knows": (replace(FACTS, nucleus=Nucleus.LITE), "as-desired", "revision 8"),
    "submitting": (
        replace(
            behind(None), deployment=replace(DEPLOYMENT, state=DeploymentState.SUBMITTING, greengrass_id=None)
        ),
        "deployment-submitting",
        "confirmed",
    ),
    "document denied": (
        behind(
            DONE,
            wanted_sha256=SHA,
            state="FAILED",
            code="desired-unreadable",
            message="denied: 403",
        ),
        "desired-unreadable",
        "denied: 403",
    ),
    "document on its way": (behind(DONE, wanted_sha256=SHA), "document-on-its-way", "fetches"),
    "not rolled out": (behind(None), "not-rolled-out", "not rolled"),
    "nobody knows": (behind(None, known=False), "not-arrived", "did not say"),
    "queued": (behind(Job("QUEUED")), "waiting-for-nucleus", "waits"),
    "at work": (behind(Job("IN_PROGRESS")), "nucleus-at-work", "carries"),
    "job failed": (
        behind(Job("FAILED", "FAILED_NO_STATE_CHANGE: no such artifact")),
        "job-failed",
        "no such artifact",
    ),
    "validation": (
        behind(Job("FAILED", "configuration validation: applications[0].image: registry not allowed")),
        "validation-rejected",
        "registry not allowed",
    ),
    "timed out": (behind(Job("TIMED_OUT")), "job-timed-out", "in time"),
    "rejected": (behind(Job("REJECTED")), "job-rejected", "refused"),
    "cancelled": (behind(Job("CANCELED")), "job-cancelled", "cancelled"),
    "reference lost": (
        replace(a_device(desired={"state": "NOT_MANAGED"}), job=DONE),
        "reference-missing",
        "reference",
    ),
    "moved, and the old group's value kept": (
        behind(DONE, target="thinggroup/line-4"),
        "other-document",
        "deploymentConfigurationTimeSource: deploymentProcessingTime",
    ),
    "just moved, and not rolled out there yet": (
        behind(None, target="thinggroup/line-4"),
        "not-rolled-out",
        "not rolled",
    ),
    "moved, and Greengrass does not answer": (
        behind(None, known=False, target="thinggroup/line-4"),
        "not-arrived",
        "did not say",
    ),
    "moved, done, and not heard since": (
        behind(JUST_DONE, target="thinggroup/line-4"),
        "report-awaited",
        "has not reported since",
    ),
    "moved, and its turn will come": (
        behind(Job("QUEUED"), target="thinggroup/line-4"),
        "waiting-for-nucleus",
        "waits",
    ),
    "a clock that is behind": (
        replace(
            behind(DONE),
            device=replace(DEVICE, desired=BEHIND | {"target": DEPLOYMENT.target}, clock_skew_s=-4000.0),
        ),
        "other-document",
        "it is 4000 s behind",
    ),
    "an older value kept, and the clock is right": (
        behind(DONE, target=DEPLOYMENT.target),
        "other-document",
        "its configuration kept an older value",
    ),
    "done, and not heard since": (behind(JUST_DONE), "report-awaited", "has not reported since"),
    "done, and nobody knows when": (behind(Job("SUCCEEDED")), "report-awaited", "has not reported since"),
    "reference lost, or on its way": (
        replace(a_device(desired={"state": "NOT_MANAGED"}), job=JUST_DONE),
        "report-awaited",
        "has not reported since",
    ),
    "the id of ours with a document that is not": (
        behind(DONE, deployment_id=OURS, revision=8),
        "other-document",
        "Greengrass says that it is done",
    ),
    "led away": (
        a_device(desired=AT_IT | {"wanted_sha256": "b" * 64}),
        "other-document",
        "refers to another",
    ),
    "refused": (
        behind(
            None,
            state="FAILED",
            wanted_sha256=SHA,
            code="policy-forbids",
            message="web: host network is not allowed here",
            refused=REFUSED,
        ),
        "policy-forbids",
        "will not follow this revision: web: host network is not allowed here",
    ),
    "no credentials": (
        behind(None, state="FAILED", wanted_sha256=SHA, code="no-credentials", message="token exchange: 500"),
        "no-credentials",
        "token exchange: 500",
    ),
    "lost": (
        replace(FACTS, lost_at=DEPLOYMENT.created_at, seen=Seen("stale", "heartbeat-missed", HOUR_AGO)),
        "agent-lost",
        "silent since revision 8 was deployed",
    ),
    "engine": (a_device(engine="unavailable"), "engine-unavailable", "does not answer"),
    "pulling": (with_web("PULLING", pull_percent=43), "pulling", "43 %"),
    "pull again later": (
        with_web(
            "PULLING", code="registry-unreachable", message="timed out", next_try_at="2026-11-22T12:05:00Z"
        ),
        "registry-unreachable",
        "timed out",
    ),
    "denied by ECR": (
        with_web("FAILED", code="registry-denied", message="403 by ECR"),
        "registry-denied",
        "403 by ECR",
    ),
    "disk": (with_web("PULLING", code="disk-full", message="1.2 GB short"), "disk-full", "1.2 GB short"),
    "architecture": (
        with_web("FAILED", code="wrong-architecture", message="arm64"),
        "wrong-architecture",
        "arm64",
    ),
    "crash loop": (
        with_web("STARTING", code="crash-loop", message="exit 137, OOM"),
        "crash-loop",
        "exit 137, OOM",
    ),
    "rolled back": (
        with_web("ROLLED_BACK", rollback={"code": "unhealthy", "reason": "GET /health: 500"}),
        "unhealthy",
        "previous one runs again: GET /health: 500",
    ),
    "lock": (with_web("PENDING", code="update-locked", message="held"), "update-locked", "held"),
    "unhealthy": (with_web("UNHEALTHY", message="GET /: 503"), "unhealthy", "503"),
    "starting": (with_web("STARTING"), "starting", "healthy yet"),
    "not heard of": (
        a_device(desired=AT_IT | {"state": "CONVERGING"}, applications={}),
        "pending",
        "nothing",
    ),
    "converging": (a_device(desired=AT_IT | {"state": "CONVERGING"}), "converging", "works on it"),
    "removal goes on": (
        a_device(desired=AT_IT | {"state": "FAILED", "code": "volume-in-use", "message": "data"}),
        "volume-in-use",
        "data",
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_of_the_table(row: str) -> None:
    facts, code, words = ROWS[row]

    first = explain(facts)[0]

    assert first.code == code
    assert words in first.message


def test_a_clock_is_called_behind_only_where_the_device_says_so() -> None:
    for skew in (None, 0.2, -3.0):  # seconds are the way of a message
        facts = behind(DONE, target=DEPLOYMENT.target)
        (cause,) = explain(replace(facts, device=replace(facts.device, clock_skew_s=skew)))
        assert "clock" not in cause.message


def test_an_agent_that_is_lost_is_not_said_to_have_kept_another_document_too() -> None:
    silent = replace(
        behind(DONE), lost_at=DEPLOYMENT.created_at, seen=Seen("stale", "heartbeat-missed", HOUR_AGO)
    )
    silent = replace(silent, device=replace(silent.device, last_report_at=NOW - timedelta(minutes=8)))

    assert [cause.code for cause in explain(silent)] == ["agent-lost", "report-awaited"]


def test_what_a_device_that_was_just_moved_follows_still_is_in_the_evidence() -> None:
    for facts in (
        behind(None, target="thinggroup/line-4"),
        behind(Job("QUEUED"), target="thinggroup/line-4"),
    ):
        assert explain(facts)[0].evidence["target_on_device"] == "thinggroup/line-4"
    assert "target_on_device" not in explain(behind(None, target=DEPLOYMENT.target))[0].evidence


def test_all_causes_are_told_in_the_order_of_the_chain_and_the_worst_application_first() -> None:
    facts = replace(
        a_device(
            desired=AT_IT | {"state": "CONVERGING"},
            application_names=("api", "db", "web"),
            applications={
                "api": {"state": "STARTING"},
                "db": {"state": "RUNNING"},
                "web": {"state": "FAILED", "code": "crash-loop", "last_lines": ["boom"]},
            },
        ),
        seen=Seen("offline", "disconnected", HOUR_AGO),
    )

    causes = explain(facts)

    assert [(c.code, c.application) for c in causes] == [
        ("device-offline", None), ("crash-loop", "web"), ("starting", "api"),
    ]  # fmt: skip
    assert causes[0].since == HOUR_AGO
    assert causes[1].evidence == {"state": "FAILED", "last_lines": ["boom"]}


def test_what_ran_once_and_ended_well_is_no_cause() -> None:
    assert explain(a_device(applications={"web": {"state": "STOPPED"}}))[0].code == "as-desired"


class Found(Deployments):
    """The group's deployments: one that failed, and before it ``deployment``."""

    def __init__(self, deployment: Deployment | None) -> None:
        self.deployment = deployment

    def newest_first(self, target: str, *, before: int | None = None) -> Iterator[Deployment]:
        assert target == "thinggroup/line-3"
        yield replace(DEPLOYMENT, id=OLDER, revision=9, state=DeploymentState.FAILED)
        if self.deployment is not None:
            yield self.deployment


class Asked(FakeGreengrass):
    """Greengrass with the job of ``facts``, and devices and deployments around it."""

    def __init__(self, facts: DiagnosisFacts, *, error: Exception | None = None) -> None:
        super().__init__()
        self.facts, self.broken, self.nuclei = facts, error, FakeGroups()
        self.on_core, self.others_carry = "gg-8", "s3://bucket/desired/another.json"

    def on_device(self, device: str, greengrass_id: str) -> Job | None:
        assert (device, greengrass_id) in (("robot-7", "gg-8"), ("robot-7", "gg-9"))
        self.asked.append(device)
        if self.broken is not None:
            raise self.broken
        return self.facts.job if greengrass_id == self.on_core else None

    def latest(self, target_arn: str) -> TargetDeployment:
        assert target_arn.endswith(":thinggroup/line-3")
        update = {"merge": json.dumps({"desired": {"document_uri": self.others_carry}})}
        return TargetDeployment("gg-9", "job-9", {COMPONENT: {"configurationUpdate": update}})

    def why(self, device: str = "robot-7", roles: str = Role.READER.canonical) -> dict[str, Any]:
        entry = served(
            lambda r: explain_device(
                r,
                devices=FakeDevices([self.facts.device]),
                deployments=Found(self.facts.deployment),
                greengrass=self,
                groups=self.nuclei,
                account=OUR_ACCOUNT,
                clock=Clock(),
            ),
            route=ROUTE,
        )
        return entry(an_event(ROUTE, path={"device": device}, roles=roles), None)


def test_a_device_that_is_as_desired_says_so_and_greengrass_is_not_asked() -> None:
    harness = Asked(FACTS)

    body = body_of(harness.why())

    assert (body["as_desired"], body["code"]) == (True, "as-desired")
    assert body["desired"] == {"revision": 8, "deployment": OURS}
    assert len(harness.asked) == 0


def test_a_refused_deployment_is_not_what_a_device_is_measured_by() -> None:
    assert body_of(Asked(FACTS).why())["desired"]["revision"] == 8


def test_greengrass_is_asked_once_while_the_revision_has_not_arrived() -> None:
    harness = Asked(behind(Job("TIMED_OUT", "no answer", HOUR_AGO)))

    body = body_of(harness.why())

    assert (body["as_desired"], body["code"], body["since"]) == (
        False,
        "job-timed-out",
        "2026-11-22T11:00:00Z",
    )
    assert body["evidence"] == {"deployment": OURS, "revision_on_device": 7, "job_status": "TIMED_OUT"}
    assert len(harness.asked) == 1


def test_the_job_is_found_where_others_deployed_on_top_of_ours_and_it_brings_our_document() -> None:
    harness = Asked(behind(Job("IN_PROGRESS")))
    harness.on_core = "gg-9"

    assert body_of(harness.why())["code"] == "not-rolled-out"  # it brings another one
    harness.others_carry = DEPLOYMENT.document_uri
    assert body_of(harness.why())["code"] == "nucleus-at-work"


def test_what_a_device_says_itself_is_told_with_its_age_and_greengrass_is_not_asked() -> None:
    said: dict[str, Any] = {"state": "FAILED", "wanted_sha256": SHA, "since": "2026-11-22T11:00:00Z"}
    codes: list[dict[str, Any]] = [{"code": "no-credentials"}, {"code": "policy-forbids", "refused": REFUSED}]
    for more in codes:
        harness = Asked(behind(None, **said, **more))

        body = body_of(harness.why())

        assert (body["code"], body["since"]) == (more["code"], "2026-11-22T11:00:00Z")
        assert [cause["code"] for cause in body["causes"]] == [more["code"]]
        assert len(harness.asked) == 0
    assert body["evidence"] == {"document_sha256": SHA, "refused": True, "revision_on_device": 7}


def test_a_device_that_kept_another_groups_document_is_not_as_desired_whatever_it_says() -> None:
    harness = Asked(behind(DONE, target="thinggroup/line-4"))

    body = body_of(harness.why())

    assert (body["as_desired"], body["code"]) == (False, "other-document")
    assert body["evidence"] == {
        "target": "thinggroup/line-4", "revision": 7, "deployment_id": OLDER, "deployment": OURS,
        "job_status": "SUCCEEDED",
    }  # fmt: skip
    assert body["on_device"]["target"] == "thinggroup/line-4"


def test_an_agent_that_fell_silent_with_the_deployment_is_lost_and_one_that_was_silent_before_is_stale() -> (
    None
):
    after = DEPLOYMENT.created_at + timedelta(minutes=1)
    silent = replace(DEVICE, last_report_at=after, stale_at=after + timedelta(minutes=3))
    before = replace(silent, last_report_at=HOUR_AGO, stale_at=HOUR_AGO + timedelta(minutes=3))

    lost, stale = (body_of(Asked(replace(FACTS, device=d)).why()) for d in (silent, before))

    assert (lost["code"], stale["code"]) == ("agent-lost", "agent-stale")
    carried = replace(DEPLOYMENT, created_at=NOW - timedelta(days=30), carried_at=DEPLOYMENT.created_at)
    by_an_upgrade = Asked(replace(FACTS, device=silent, deployment=carried))
    assert body_of(by_an_upgrade.why())["code"] == "agent-lost"
    assert lost["evidence"]["deployment"] == OURS
    cured = replace(carried, carried_at=NOW, watched_at=(DEPLOYMENT.created_at,))
    by_one_before = body_of(Asked(replace(FACTS, device=silent, deployment=cured)).why())
    assert (by_one_before["code"], by_one_before["evidence"]["deployed_at"]) == (
        "agent-lost", "2026-11-22T11:51:00Z",
    )  # fmt: skip
    assert "what came before revision 8" in by_one_before["message"]


def test_without_greengrass_the_rest_is_told() -> None:
    assert body_of(Asked(behind(None), error=Unavailable("throttled")).why())["code"] == "not-arrived"


def test_an_unknown_device_and_a_scope_that_does_not_reach_it() -> None:
    harness = Asked(FACTS)

    assert harness.why(device="robot-8")["statusCode"] == 404
    assert harness.why(roles="Fleet.Reader:line-4")["statusCode"] == 403
    assert harness.why(roles="Fleet.Reader:line-3")["statusCode"] == 200


class _Effective:
    def __init__(self, *deployments: dict[str, Any]) -> None:
        self.deployments = deployments

    def list_effective_deployments(self, **_request: Any) -> dict[str, Any]:
        return {"effectiveDeployments": list(self.deployments)}


def test_a_deployment_is_found_among_all_that_reached_the_device() -> None:
    greengrass = Greengrass(
        _Effective(
            {"deploymentId": "gg-9", "coreDeviceExecutionStatus": "QUEUED"},
            {
                "deploymentId": "gg-8",
                "coreDeviceExecutionStatus": "FAILED",
                "reason": "no",
                "modifiedTimestamp": NOW,
            },
        )
    )

    assert greengrass.on_device("robot-7", "gg-8") == Job("FAILED", "no", NOW)
    assert greengrass.on_device("robot-7", "gg-7") is None


def test_a_device_of_the_other_nucleus_is_told_with_both_and_one_that_never_said_costs_no_call() -> None:
    harness = Asked(replace(FACTS, device=replace(FACTS.device, nucleus=Nucleus.LITE)))
    harness.nuclei.nuclei["line-3"] = Nucleus.CLASSIC

    body = body_of(harness.why())

    assert (body["as_desired"], body["code"]) == (False, "nucleus-mismatch")
    assert body["evidence"] == {"nucleus": "lite", "group_nucleus": "classic"}
    harness.nuclei.broken = Unavailable("throttled")
    assert body_of(harness.why())["code"] == "as-desired"
    silent = Asked(FACTS)
    silent.why()
    assert silent.nuclei.asked == []
