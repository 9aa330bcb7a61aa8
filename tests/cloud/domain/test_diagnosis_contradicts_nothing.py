"""Whatever is known of a device, no two causes of one answer exclude each other."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.domain.deployments.deployment import DeploymentState
from cloud.domain.devices.diagnosis import _JOBS, AS_DESIRED, HEARD_AFTER, explain
from cloud.domain.devices.diagnosis_facts import Cause, DiagnosisFacts, Job
from cloud.domain.devices.presence import Seen
from tests.cloud.domain.test_diagnosis import DEPLOYMENT, DEVICE, OLDER, OURS, SHA
from tests.support.cloud.api import NOW

pytestmark = pytest.mark.slow

#: Of each of these one can be true at a time.
EXCLUDING: dict[str, set[str]] = {
    "the wish": {"no-group", "no-deployment"},
    "whether it is there": {"never-seen", "device-offline", "agent-stale", "agent-lost"},
    "how far the reference came": {
        "not-rolled-out", "not-arrived", "validation-rejected", "job-unknown", "other-document",
        "report-awaited",
        "document-on-its-way", "desired-unreadable", "desired-invalid", "no-credentials", "policy-forbids",
        *(code for code, _ in _JOBS.values()),
    },
    "what the whole device works on": {"converging", "volume-in-use"},
}  # fmt: skip
#: Told of what has arrived, and so never beside what has not.
AFTER_ARRIVAL = {"converging", "failed", "pulling", "stopped", "pending"}
#: Before, at and after the moment from which on a word of the device is younger than its job's end.
MOMENTS = [None, *(NOW + HEARD_AFTER + timedelta(seconds=s) for s in (-3600, -60, -1, 0, 1, 3600))]
STATES = ("online", "stale", "offline", "unknown")


def codes(*more: str) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, "desired-unreadable", "desired-invalid", *more])


@st.composite
def desired(draw: st.DrawFn) -> dict[str, Any]:
    """What a device may say, in any combination, sensible or not."""
    refused = {
        "deployment_id": draw(st.sampled_from([OURS, OLDER])), "revision": 8, "sha256": SHA,
        "code": "policy-forbids", "message": "not allowed here",
    }  # fmt: skip
    said = {
        "state": draw(st.sampled_from(["NOT_MANAGED", "CONVERGING", "CONVERGED", "FAILED"])),
        "deployment_id": draw(st.sampled_from([None, OURS, OLDER])),
        "document_sha256": draw(st.sampled_from([None, SHA, "b" * 64])),
        "wanted_sha256": draw(st.sampled_from([None, SHA, "b" * 64])),
        "target": draw(st.sampled_from([None, DEPLOYMENT.target, "thinggroup/line-4"])),
        "revision": draw(st.sampled_from([None, 7, 8])),
        "code": draw(codes("no-credentials", "engine-unavailable", "volume-in-use", "policy-forbids")),
        "message": draw(st.sampled_from([None, "some words"])),
        "since": draw(st.sampled_from([None, "2026-11-22T11:00:00Z"])),
        "refused": draw(st.sampled_from([None, refused])),
    }
    return {name: value for name, value in said.items() if value is not None}


@st.composite
def facts(draw: st.DrawFn) -> DiagnosisFacts:
    job = draw(st.sampled_from([None, "NEW-WORD", *_JOBS]))
    reason = draw(st.sampled_from([None, "configuration validation: no"]))
    state = draw(st.sampled_from([DeploymentState.SUBMITTING, DeploymentState.ACTIVE]))
    submitted = state is DeploymentState.ACTIVE
    deployment = replace(DEPLOYMENT, state=state, greengrass_id="gg-8" if submitted else None)
    application = draw(st.sampled_from(["RUNNING", "FAILED", "PULLING", "STOPPED", "PENDING"]))
    device = replace(
        DEVICE,
        group=draw(st.sampled_from([None, "line-3"])),
        desired=draw(desired()),
        last_report_at=draw(st.sampled_from(MOMENTS)),
        engine=draw(st.sampled_from(["20.10", "unavailable"])),
        clock_skew_s=draw(st.sampled_from([None, -4000.0, 0.2])),
        applications={"web": {"name": "web", "state": application}},
    )
    return DiagnosisFacts(
        device,
        Seen(draw(st.sampled_from(STATES)), "some-reason", NOW - timedelta(hours=1)),
        None if device.group is None else draw(st.sampled_from([None, deployment])),
        None if job is None else Job(job, reason, draw(st.sampled_from([None, NOW]))),
        job_known=draw(st.booleans()),
        lost_at=draw(st.sampled_from([None, DEPLOYMENT.created_at, NOW - timedelta(days=9)])),
    )


def told(causes: tuple[Cause, ...]) -> list[str]:
    return [cause.code for cause in causes]


@settings(max_examples=1_500, deadline=None)
@given(facts())
def test_never_both_of_an_excluding_pair(given_: DiagnosisFacts) -> None:
    causes = explain(given_)

    found = told(causes)
    for of_what, excluding in EXCLUDING.items():
        of_the_device = [c.code for c in causes if c.application is None and c.code in excluding]
        if not given_.arrived or of_what != "how far the reference came":
            assert len(of_the_device) <= 1, (of_what, of_the_device)
    assert len({(c.code, c.application) for c in causes}) == len(causes)
    if AS_DESIRED in found:
        assert found == [AS_DESIRED]
    if not given_.arrived:
        assert not set(found) & AFTER_ARRIVAL
    if {"no-group", "no-deployment"} & set(found):
        assert not set(found) & EXCLUDING["how far the reference came"]


@settings(max_examples=1_500, deadline=None)
@given(facts())
def test_a_device_that_reports_another_document_is_never_as_desired(given_: DiagnosisFacts) -> None:
    desired, deployment = given_.device.desired, given_.deployment
    same = desired.get("document_sha256") in (None, SHA) and desired.get("wanted_sha256") in (None, SHA)
    if deployment is not None and desired.get("deployment_id") == deployment.id and same:
        return

    assert explain(given_)[0].code != AS_DESIRED


@settings(max_examples=1_500, deadline=None)
@given(facts())
def test_a_device_keeps_another_document_only_if_it_says_so_after_its_job_has_ended(
    given_: DiagnosisFacts,
) -> None:
    found = next((cause for cause in explain(given_) if cause.code == "other-document"), None)
    if found is None or given_.led_away:
        return

    job, said_at = given_.job, given_.device.last_report_at
    assert job is not None
    assert job.status == "SUCCEEDED"
    assert job.changed_at is not None
    assert said_at is not None
    assert said_at > job.changed_at + HEARD_AFTER
    assert ("clock" not in found.message) or given_.device.clock_skew_s == -4000.0
