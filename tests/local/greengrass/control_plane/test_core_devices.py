"""Core devices and the deployments that reached them."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from tests.local.greengrass.control_plane.memory_emulator import MemoryEmulator
from tests.local.greengrass.control_plane.requests_as_sdk import GROUP, NUCLEUS, client_of


def post_status(url: str, **status: Any) -> int:
    return requests.post(f"{url}/greengrass/v2/_coreDeviceStatus", json=status, timeout=5).status_code


def test_a_core_that_told_its_status_is_listed_with_its_components(serve: Callable[[], str]) -> None:
    url = serve()
    web = {"componentName": "web", "componentVersion": "1.0.0", "lifecycleState": "RUNNING", "isRoot": True}
    libc = {"componentName": "libc", "componentVersion": "1.0.0", "lifecycleState": "FINISHED"}
    post_status(
        url,
        coreDeviceThingName="robot-7",
        status="HEALTHY",
        coreVersion="2.18.0",
        platform="linux",
        architecture="amd64",
        components=[web, libc],
    )
    greengrass = client_of(url)

    listed = greengrass.list_core_devices(status="HEALTHY")["coreDevices"]
    shown = greengrass.get_core_device(coreDeviceThingName="robot-7")
    roots = greengrass.list_installed_components(coreDeviceThingName="robot-7")["installedComponents"]
    every = greengrass.list_installed_components(coreDeviceThingName="robot-7", topologyFilter="ALL")

    assert [core["coreDeviceThingName"] for core in listed] == ["robot-7"]
    assert (shown["coreVersion"], shown["architecture"], shown["status"]) == ("2.18.0", "amd64", "HEALTHY")
    assert [component["componentName"] for component in roots] == ["web"]
    assert [component["componentName"] for component in every["installedComponents"]] == ["web", "libc"]


def test_cores_can_be_listed_by_group(serve: Callable[[], str]) -> None:
    url = serve()
    for thing in ("robot-7", "robot-8"):
        post_status(url, coreDeviceThingName=thing, status="HEALTHY")

    listed = client_of(url).list_core_devices(thingGroupArn=GROUP)["coreDevices"]

    assert [core["coreDeviceThingName"] for core in listed] == ["robot-7"]


@pytest.mark.parametrize(
    "status",
    [{}, {"coreDeviceThingName": "../x", "status": "HEALTHY"}, {"coreDeviceThingName": "r", "status": "OK"}],
)
def test_a_status_that_means_nothing_is_refused(serve: Callable[[], str], status: dict[str, str]) -> None:
    assert post_status(serve(), **status) == 400


def test_effective_deployments_are_the_executions_of_the_things_jobs(
    greengrass: Any, emulator: MemoryEmulator
) -> None:
    first = greengrass.create_deployment(targetArn=GROUP, components=NUCLEUS)
    second = greengrass.create_deployment(targetArn=GROUP, components=NUCLEUS, deploymentName="two")
    emulator.take("robot-7", first["iotJobId"], "SUCCEEDED")
    emulator.take("robot-7", second["iotJobId"], "FAILED", **{"deployment-failure-cause": "no disk"})
    emulator.take("robot-7", "somebody-elses-job", "QUEUED")

    found = greengrass.list_effective_deployments(coreDeviceThingName="robot-7")["effectiveDeployments"]

    assert [(d["deploymentId"], d["coreDeviceExecutionStatus"], d.get("reason")) for d in found] == [
        (second["deploymentId"], "FAILED", "no disk"),
        (first["deploymentId"], "SUCCEEDED", None),
    ]


def test_a_core_never_heard_of_is_not_found(greengrass: Any) -> None:
    for ask in (greengrass.get_core_device, greengrass.list_effective_deployments):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            ask(coreDeviceThingName="ghost")


def test_a_path_that_is_no_operation_is_answered_as_aws_answers(serve: Callable[[], str]) -> None:
    answer = requests.get(f"{serve()}/greengrass/v2/nothing", timeout=5)

    assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (404, "ResourceNotFoundException")


GROUPS = "greengrass:ListThingGroupsForCoreDevice"


def policy(action: object, effect: str = "Allow") -> dict[str, Any]:
    return {"Statement": [{"Effect": effect, "Action": action, "Resource": "*"}]}


@pytest.mark.parametrize(
    ("policies", "status"),
    [
        ([policy(["greengrass:Get*", GROUPS])], 200),
        ([policy("*")], 200),
        ([policy("iot:*")], 403),
        ([], 403),
        ([policy("*"), policy(GROUPS, "Deny")], 403),
    ],
)
def test_a_core_may_ask_for_its_groups_where_its_certificates_policy_says_so(
    serve: Callable[[], str], emulator: MemoryEmulator, policies: list[dict[str, Any]], status: int
) -> None:
    emulator.policies["robot-7"] = list(policies)

    answer = requests.get(f"{serve()}/greengrass/v2/coreDevices/robot-7/thingGroups", timeout=5)

    assert answer.status_code == status
    if status == 200:
        assert [group["thingGroupName"] for group in answer.json()["thingGroups"]] == ["line-3"]
