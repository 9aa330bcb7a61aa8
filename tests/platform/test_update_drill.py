"""A fleet of the version before, updated: device first and cloud first, and one device back; nothing is lost.

The version before is taken from the repository's history, with its own template, Lambdas, enrolment and
component; the stand-ins around it are this checkout's.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.names import COMPONENT
from local.demo.api_client import Api
from local.greengrass.nucleus.configuration.store import Configuration
from local.greengrass.nucleus.dialect import CLASSIC
from local.platform import Platform
from local.process.children import ROOT
from tests.support.before import unpack
from tests.support.platform.lab import until
from tests.support.platform.machines import FINAL

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

_TAKEN = (
    "cloud",
    "contract",
    "docs/openapi.json",
    "edge",
    "gdk-config.json",
    "pyproject.toml",
    "recipe.yaml",
    "recipes",
)
#: Thing → group: in one group the devices are updated before the cloud, in the other after it.
_DEVICE_FIRST, _CLOUD_FIRST = "robot-device-first", "robot-cloud-first"
_GROUPS = {_DEVICE_FIRST: "device-first", _CLOUD_FIRST: "cloud-first"}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the version before; it shares the wheels that were fetched for this one."""
    folder = tmp_path_factory.mktemp("before")
    unpack(folder, *_TAKEN)
    (ROOT / "build").mkdir(exist_ok=True)
    (folder / "build").symlink_to(ROOT / "build")
    # gdk looks for what recipe.yaml is a link to, which the build of that version does not write.
    (folder / "recipe.yaml").unlink()
    (folder / f"recipes/{COMPONENT}.yaml").rename(folder / "recipe.yaml")
    return folder


class Fleet:
    """The platform with one device in each group, as an operator sees it."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.operator = Api(platform.api_url, platform.token("Fleet.Deployer"))

    def shown(self, device: str) -> dict[str, Any]:
        """What ``GET /devices/{device}`` answers."""
        return self.operator.get(f"/devices/{device}")[1]

    def containers(self, device: str) -> dict[str, str]:
        """The container of each application."""
        return {a["name"]: a["container_id"] for a in self.shown(device).get("applications") or []}

    def deploys(self, device: str, tag: str) -> dict[str, Any]:
        """Deploy to the device's group, and return the answer once every device runs it."""
        application = {
            "name": "hello",
            "image": f"fleetgrass/hello:{tag}",
            "healthy_window_s": 2,
            "stop_grace_s": 1,
        }
        request = {"target": {"group": _GROUPS[device]}, "applications": [application]}
        status, created = self.operator.post("/deployments", request)
        assert status == 201, created
        path = f"/deployments/{created['id']}"
        assert until(lambda: self.operator.get(path)[1]["state"] == "SUCCEEDED", 90), (
            self.operator.get(path)[1],
            self.operator.get(f"/devices/{device}/why")[1],
        )
        return created

    def reboots(self, device: str) -> dict[str, Any]:
        """Reboot the device, and return the ledger's entry, proven."""
        status, command = self.operator.post(f"/devices/{device}/reboot", {"reason": "a drill"})
        assert status == 202, command
        path = f"/devices/{device}/commands/{command['id']}"
        assert until(lambda: self.operator.get(path)[1].get("state") in FINAL, 90), self.operator.get(path)[1]
        ended = self.operator.get(path)[1]
        assert ended["state"] == "SUCCEEDED", ended
        assert ended["boot_id"] == self.platform.devices[device].boot_id()
        assert until(lambda: self.shown(device)["state"] == "online", 60)
        return ended

    def upgrade_agents(self, device: str, version: str, *, named: bool) -> None:
        """Bring the device's group to ``version``, as an administrator does, who need not name the newest."""
        assert self.platform.upgrade_agent(_GROUPS[device], version if named else None) == version
        assert until(lambda: self.shown(device).get("agent_version") == version, 90), self.shown(device)
        assert until(lambda: self.shown(device)["state"] == "online", 60)


@pytest.fixture(scope="module")
def fleet(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("drill") / "it"
    platform = Platform.start(folder, engine="memory", devices=_GROUPS, sources=before, network="127.0.1")
    with platform:
        yield Fleet(platform)
    assert platform.leftovers() == []


def test_a_fleet_of_the_version_before_is_updated_in_either_order_and_loses_nothing(fleet: Fleet) -> None:
    for device in _GROUPS:
        assert until(lambda device=device: fleet.shown(device).get("state") == "online", 60)  # type: ignore[misc]
        fleet.deploys(device, "v1")
        fleet.reboots(device)
    old = fleet.shown(_DEVICE_FIRST)["agent_version"]
    running = {device: fleet.containers(device) for device in _GROUPS}
    assert all(running.values())

    # The device first: the new agent speaks to a cloud that acknowledges nothing.
    version = fleet.platform.publish_component(ROOT)
    assert (old, version) == ("0.1.0", "0.1.1")
    fleet.upgrade_agents(_DEVICE_FIRST, version, named=True)  # the stack still names the version before
    assert fleet.containers(_DEVICE_FIRST) == running[_DEVICE_FIRST]
    fleet.reboots(_DEVICE_FIRST)
    fleet.deploys(_DEVICE_FIRST, "v2")

    # Then the cloud: the old agent speaks to it, and is deployed to.
    fleet.platform.update_stack(ROOT)
    assert fleet.shown(_CLOUD_FIRST)["agent_version"] == old
    created = fleet.deploys(_CLOUD_FIRST, "v2")
    assert any("upgrade-agent" in warning for warning in created["warnings"]), created["warnings"]
    fleet.reboots(_CLOUD_FIRST)
    running = {device: fleet.containers(device) for device in _GROUPS}

    # Then the other device, together with what only a new version can be given.
    fleet.upgrade_agents(_CLOUD_FIRST, version, named=False)
    assert fleet.containers(_CLOUD_FIRST) == running[_CLOUD_FIRST]
    for device in _GROUPS:
        commands = fleet.operator.get(f"/devices/{device}/commands")[1]["commands"]
        assert {command["state"] for command in commands} == {"SUCCEEDED"}
        assert until(lambda device=device: fleet.operator.get(f"/devices/{device}/why")[1]["as_desired"], 60)  # type: ignore[misc]
        stored = Configuration(CLASSIC, fleet.platform.devices[device].folder / "configuration.json")
        assert stored.get("aws.greengrass.Nucleus", ["deploymentConfigurationTimeSource"]) == (
            "deploymentProcessingTime"
        )
        assert not list(fleet.platform.devices[device].folder.glob("fleetgrass/*/state/*.unreadable"))
    fleet.deploys(_CLOUD_FIRST, "v1")
    fleet.reboots(_CLOUD_FIRST)
    assert fleet.containers(_DEVICE_FIRST) == running[_DEVICE_FIRST]

    # And one goes back: it follows no document and does no command of the time before it was replaced.
    boot_id = fleet.platform.devices[_DEVICE_FIRST].boot_id()
    fleet.upgrade_agents(_DEVICE_FIRST, old, named=True)
    fleet.deploys(_DEVICE_FIRST, "v1")
    assert fleet.containers(_DEVICE_FIRST).keys() == running[_DEVICE_FIRST].keys()
    assert fleet.platform.devices[_DEVICE_FIRST].boot_id() == boot_id
    commands = fleet.operator.get(f"/devices/{_DEVICE_FIRST}/commands")[1]["commands"]
    assert {command["state"] for command in commands} == {"SUCCEEDED"}
