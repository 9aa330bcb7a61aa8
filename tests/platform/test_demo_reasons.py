"""The demo where every pull fails: what it prints has the reason."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from local.demo.api_client import Api
from local.demo.demo import _deploy, _succeeds
from local.demo.narration import Story, Untrue
from local.docker.registry_proxy import Behaviour
from local.platform import Platform
from tests.support.platform.lab import until

pytestmark = pytest.mark.platform


@pytest.fixture
def denied(platform: Platform) -> Iterator[Platform]:
    """The platform while its registry refuses every device."""
    platform.registry.behaviour = Behaviour(deny=True)
    yield platform
    platform.registry.behaviour = Behaviour()
    deployer = Api(platform.api_url, platform.token("Fleet.Deployer"))
    assert deployer.post("/deployments", {"target": {"group": "line-3"}, "applications": []})[0] == 201


def test_a_demo_whose_pulls_all_fail_prints_why(denied: Platform) -> None:
    reader = Api(denied.api_url, denied.token("Fleet.Reader"))
    deployer = Api(denied.api_url, denied.token("Fleet.Deployer"))
    for robot in ("robot-1", "robot-2"):
        path = f"/devices/{robot}"
        assert until(lambda path=path: reader.get(path)[1].get("state") == "online", 60)  # type: ignore[misc]
    output = io.StringIO()
    story = Story(Console(file=output, soft_wrap=True), simulated=True)

    deployment = _deploy(story, deployer, "v2")
    with pytest.raises(Untrue):
        _succeeds(story, reader, deployment, within_s=25)

    printed = output.getvalue()
    for robot in ("robot-1", "robot-2"):
        [line] = [line for line in printed.splitlines() if f"why {robot}:" in line]
        assert "registry" in line or "denied" in line, printed
