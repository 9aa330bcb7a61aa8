"""``python -m edge`` referred to documents, and told by the cloud: over sockets, with the official SDK."""

import time

import pytest

from contract import topics
from contract.commands import (
    CollectLogsCommand,
    ReportNowCommand,
    RestartApplicationCommand,
    RetryApplicationCommand,
)
from contract.reports import DeviceReport
from tests.support.edge import fakes
from tests.support.engine.sites import Site

pytestmark = pytest.mark.slow


def a_cloud() -> fakes.AgentHarness:
    """Something that makes commands of now."""
    harness = fakes.AgentHarness()
    harness.clock.date = harness.clock.date.fromtimestamp(time.time(), harness.clock.date.tzinfo)
    return harness


def test_what_would_fail_here_is_refused_before_anything_changes_and_the_rest_passes(site: Site) -> None:
    site.device.start()
    site.device.hello()
    site.deploy("server")
    before = site.ended()

    site.deploy("foreign-machine")
    report = site.device.wait_for(
        topics.report(site.harness.thing),
        DeviceReport,
        lambda r: r.desired is not None and r.desired.refused is not None,
    )
    [ours] = site.engine.containers(site.harness.thing)
    site.deploy("healthy")

    assert report.desired is not None
    assert report.desired.refused is not None
    assert (report.desired.state, report.desired.revision, report.desired.refused.revision) == (
        "FAILED",
        1,
        2,
    )
    assert report.desired.code == "wrong-architecture"
    assert (report.desired.message or "").startswith("web: the image is for ")
    assert (ours.id[:12], ours.state) == (before.container_id, "running")
    assert site.ended().state == "RUNNING"


def test_commands_to_an_application_are_carried_out_and_answered(site: Site) -> None:
    site.device.start()
    site.device.hello()
    site.deploy("server")
    before = site.ended()
    container_run = site.engine.container_run(before.container_id or "")
    cloud = a_cloud()

    restart = cloud.an_errand(RestartApplicationCommand, application="web")
    site.device.send(restart)
    site.device.result(restart, "SUCCEEDED")
    logs = cloud.an_errand(CollectLogsCommand, application="web")
    site.device.send(logs)
    retry = cloud.an_errand(RetryApplicationCommand, application="web")
    site.device.send(retry)
    report = cloud.an_errand(ReportNowCommand)
    site.device.send(report)

    assert site.device.result(logs, "SUCCEEDED").log_lines is not None
    assert site.device.result(retry, "REJECTED").code == "nothing-to-retry"
    site.device.result(report, "SUCCEEDED")
    [ours] = site.engine.containers(site.harness.thing)
    assert (ours.id[:12], ours.state) == (before.container_id, "running")
    assert site.engine.container_run(ours.id).started_at != container_run.started_at
