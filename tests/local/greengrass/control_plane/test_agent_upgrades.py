"""``python -m cloud upgrade-agent`` with boto3's own client: what it deploys is what a device's job says."""

import json
from collections.abc import Mapping
from typing import Any

from cloud.aws.greengrass import Greengrass
from cloud.domain.deployments.greengrass_components import NUCLEUS, TIME_SOURCE, merge
from cloud.tooling.upgrade_agent import Clients, upgrade_agent
from contract.names import COMPONENT
from tests.local.greengrass.control_plane.memory_emulator import MemoryEmulator
from tests.local.greengrass.control_plane.requests_as_sdk import GROUP, a_recipe
from tests.support.cloud.api import FakeDevices, a_device
from tests.support.cloud.deployments import deployments_in_memory

EARLIER: Mapping[str, Mapping[str, Any]] = {
    COMPONENT: {"componentVersion": "0.1.0", "runWith": {"systemResourceLimits": {"memory": 102400}}},
    NUCLEUS: {
        "componentVersion": "2.18.0",
        "configurationUpdate": {"merge": json.dumps({"interpolateComponentConfiguration": True})},
    },
}


class Iot:
    """The one call to AWS IoT."""

    def describe_thing_group(self, *, thingGroupName: str) -> dict[str, str]:
        assert GROUP.endswith(f"/{thingGroupName}")
        return {"thingGroupArn": GROUP}


def test_the_job_of_an_upgrade_brings_version_user_and_time_source_at_once(
    greengrass: Any, emulator: MemoryEmulator
) -> None:
    for version in ("0.1.0", "0.2.0"):
        greengrass.create_component_version(inlineRecipe=a_recipe(name=COMPONENT, version=version))
    pointed = merge(EARLIER, document_uri="s3://b/d.json", agent_version="0.1.0", time_source=False)
    ours = Greengrass(greengrass)
    ours.create(GROUP, name="revision 1", components=pointed, client_token="dep-1")
    devices = FakeDevices([a_device("r-1", agent_version="0.1.0", level=0)])

    done = upgrade_agent(
        Clients(Iot(), ours, deployments_in_memory(), devices), group="line-3", version="0.2.0"
    )

    latest = ours.latest(GROUP)
    assert latest is not None
    assert latest.greengrass_id == done.greengrass_deployment_id
    said = json.loads(emulator.jobs[str(latest.job_id)].document)["components"]
    assert said[COMPONENT]["version"] == "0.2.0"
    assert said[COMPONENT]["runWith"] == {"posixUser": "root", "systemResourceLimits": {"memory": 102400}}
    assert said[COMPONENT]["configurationUpdate"]["merge"] == {"desired": {"document_uri": "s3://b/d.json"}}
    nucleus = said[NUCLEUS]["configurationUpdate"]["merge"]
    assert nucleus == {**TIME_SOURCE, "interpolateComponentConfiguration": True}
