"""``python -m edge`` asked by its nucleus, and told by the cloud: over sockets, with the official SDK."""

import threading
import time

import pytest

from contract.commands import (
    CollectLogsCommand,
    ReportNowCommand,
    RestartApplicationCommand,
    RetryApplicationCommand,
)
from contract.names import COMPONENT
from local.core.configuration import Json
from tests.edge import fakes
from tests.edge.engine.sites import Site
from tests.edge.process import ANSWER_S

pytestmark = pytest.mark.slow


def a_cloud() -> fakes.World:
    """Something that makes commands of now."""
    world = fakes.World()
    world.clock.date = world.clock.date.fromtimestamp(time.time(), world.clock.date.tzinfo)
    return world


def refusal(site: Site, uri: str) -> str | None:
    """Ask as the nucleus does before it applies a deployment; return what the device has against it."""
    stored = site.device.configuration.get(COMPONENT)
    assert isinstance(stored, dict)
    proposed: Json = {**stored, "desired": {"document_uri": uri}}
    ask = site.device.components.consultation.refusals
    return ask(f"d-{site.revision}", {COMPONENT: proposed}, ANSWER_S, threading.Event()).get(COMPONENT)


def test_what_would_fail_here_is_refused_before_anything_changes_and_the_rest_passes(site: Site) -> None:
    site.device.start()
    site.device.hello()
    site.deploy("server")
    before = site.ended()

    foreign = refusal(site, site.publish("foreign-machine"))
    passed = refusal(site, site.publish("healthy"))

    assert foreign is not None
    assert foreign.startswith("wrong-architecture: web: the image is for ")
    assert passed is None
    [ours] = site.engine.containers(site.world.thing)
    assert (ours.id[:12], ours.state) == (before.container_id, "running")


def test_commands_to_an_application_are_carried_out_and_answered(site: Site) -> None:
    site.device.start()
    site.device.hello()
    site.deploy("server")
    before = site.ended()
    course = site.engine.course(before.container_id or "")
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
    [ours] = site.engine.containers(site.world.thing)
    assert (ours.id[:12], ours.state) == (before.container_id, "running")
    assert site.engine.course(ours.id).started_at != course.started_at
