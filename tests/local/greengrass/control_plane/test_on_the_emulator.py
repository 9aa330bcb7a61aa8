"""The control plane as the platform runs it: behind the emulator's port, making its real IoT Jobs."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError

from local.aws.account import REGION, ROOT_KEY, LocalAws, aws_environment, client_arguments
from local.aws.publish import VersionExists, publish
from local.process.children import Child
from tests.local.greengrass.control_plane.requests_as_sdk import GROUP, NUCLEUS

pytestmark = pytest.mark.platform


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("platform")
    gateway, mqtt, control = free_ports(3)
    aws = LocalAws(folder, port=gateway, mqtt_port=mqtt, control_plane=f"http://127.0.0.1:{control}")
    command = [
        *(sys.executable, "-m", "local.greengrass.control_plane", "--port", str(control)),
        *("--endpoint-url", aws.endpoint_url, "--folder", str(folder / "greengrass")),
    ]
    control_plane = Child(
        "the control plane",
        command,
        log=folder / "control.log",
        environment=aws_environment(aws.endpoint_url, ROOT_KEY) | {"PATH": os.environ["PATH"]},
    )
    try:
        control_plane.wait_until(lambda: accepts(control), 20)
        yield aws.endpoint_url
    finally:
        control_plane.stop()
        aws.stop()


@pytest.fixture(scope="module")
def iot(endpoint_url: str) -> Any:
    client = client_for("iot", endpoint_url)
    client.create_thing_group(thingGroupName="line-3")
    client.create_thing(thingName="early")
    client.create_thing(thingName="late")
    client.add_thing_to_thing_group(thingGroupName="line-3", thingName="early")
    return client


@pytest.fixture(scope="module")
def greengrass(endpoint_url: str) -> Any:
    return client_for("greengrassv2", endpoint_url)


def client_for(service: str, endpoint_url: str) -> Any:
    return boto3.client(service, **client_arguments(endpoint_url, ROOT_KEY))  # type: ignore[call-overload]


def status_of(iot: Any, job: str, thing: str) -> str:
    try:
        return str(iot.describe_job_execution(jobId=job, thingName=thing)["execution"]["status"])
    except ClientError as error:
        return error.response["Error"]["Code"]


def test_a_deployment_reaches_members_at_once_later_ones_as_they_join_and_is_superseded(
    iot: Any, greengrass: Any
) -> None:
    first = greengrass.create_deployment(targetArn=GROUP, components=NUCLEUS, deploymentName="first")
    assert status_of(iot, first["iotJobId"], "early") == "QUEUED"
    assert status_of(iot, first["iotJobId"], "late") == "ResourceNotFoundException"

    iot.add_thing_to_thing_group(thingGroupName="line-3", thingName="late")
    assert status_of(iot, first["iotJobId"], "late") == "QUEUED"

    document = json.loads(iot.get_job_document(jobId=first["iotJobId"])["document"])
    assert document["deploymentId"] == first["deploymentId"]

    second = greengrass.create_deployment(targetArn=GROUP, components=NUCLEUS, deploymentName="second")
    assert status_of(iot, first["iotJobId"], "late") == "CANCELED"
    effective = greengrass.list_effective_deployments(coreDeviceThingName="late")["effectiveDeployments"]
    assert [(d["deploymentName"], d["coreDeviceExecutionStatus"]) for d in effective] == [
        ("second", "QUEUED"),
        ("first", "CANCELED"),
    ]
    assert greengrass.get_deployment(deploymentId=second["deploymentId"])["deploymentStatus"] == "ACTIVE"
    assert greengrass.get_deployment(deploymentId=first["deploymentId"])["deploymentStatus"] == "CANCELED"


def test_who_leaves_the_group_loses_what_waits_and_who_comes_back_gets_it_anew(
    iot: Any, greengrass: Any
) -> None:
    group, thing = "line-9", "mover"
    iot.create_thing_group(thingGroupName=group)
    iot.create_thing(thingName=thing)
    iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
    made = greengrass.create_deployment(targetArn=GROUP.replace("line-3", group), components=NUCLEUS)

    def execution() -> tuple[str, int, int]:
        found = iot.describe_job_execution(jobId=made["iotJobId"], thingName=thing)["execution"]
        return found["status"], found["executionNumber"], found["versionNumber"]

    status, number, version = execution()
    assert (status, number) == ("QUEUED", 1)
    iot.remove_thing_from_thing_group(thingGroupName=group, thingName=thing)
    assert execution() == ("REMOVED", 1, version)
    effective = greengrass.list_effective_deployments
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        effective(coreDeviceThingName=thing)

    iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)

    assert execution()[:2] == ("QUEUED", 2)
    [shown] = effective(coreDeviceThingName=thing)["effectiveDeployments"]
    assert shown["coreDeviceExecutionStatus"] == "QUEUED"


def test_a_superseded_deployment_cancels_what_waits_and_lets_go_on_what_runs(
    iot: Any, greengrass: Any, endpoint_url: str
) -> None:
    group = "line-10"
    iot.create_thing_group(thingGroupName=group)
    for thing in ("waits", "runs"):
        iot.create_thing(thingName=thing)
        iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
    target = GROUP.replace("line-3", group)
    first = greengrass.create_deployment(targetArn=target, components=NUCLEUS)["iotJobId"]
    devices = client_for("iot-jobs-data", endpoint_url)
    devices.start_next_pending_job_execution(thingName="runs")

    greengrass.create_deployment(targetArn=target, components=NUCLEUS)

    assert status_of(iot, first, "waits") == "CANCELED"
    assert status_of(iot, first, "runs") == "IN_PROGRESS"
    devices.update_job_execution(jobId=first, thingName="runs", status="SUCCEEDED")
    assert status_of(iot, first, "runs") == "SUCCEEDED"


def test_a_deployments_timeout_begins_when_a_device_takes_it(
    iot: Any, greengrass: Any, endpoint_url: str
) -> None:
    group = "line-11"
    iot.create_thing_group(thingGroupName=group)
    for thing in ("offline", "slow"):
        iot.create_thing(thingName=thing)
        iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
    made = greengrass.create_deployment(
        targetArn=GROUP.replace("line-3", group),
        components=NUCLEUS,
        iotJobConfiguration={"timeoutConfig": {"inProgressTimeoutInMinutes": 10}},
    )
    devices = client_for("iot-jobs-data", endpoint_url)
    devices.start_next_pending_job_execution(thingName="slow")

    def left_s(thing: str) -> int | None:
        execution = devices.describe_job_execution(jobId=made["iotJobId"], thingName=thing)["execution"]
        left: int | None = execution.get("approximateSecondsBeforeTimedOut")
        return left

    remaining = left_s("slow")
    assert remaining is not None
    assert 540 <= remaining <= 600
    assert left_s("offline") is None  # a QUEUED execution never times out


def test_a_deployment_is_cancelled_once(iot: Any, greengrass: Any) -> None:
    made = greengrass.create_deployment(targetArn=GROUP, components=NUCLEUS)["deploymentId"]

    greengrass.cancel_deployment(deploymentId=made)

    assert greengrass.get_deployment(deploymentId=made)["deploymentStatus"] == "CANCELED"
    with pytest.raises(ClientError, match="ConflictException"):
        greengrass.cancel_deployment(deploymentId=made)


def test_a_target_that_does_not_exist_is_not_found(greengrass: Any) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        greengrass.create_deployment(targetArn=GROUP.replace("line-3", "ghosts"), components=NUCLEUS)


def test_a_component_is_published_once(endpoint_url: str, greengrass: Any, tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts" / "com.example.Web" / "1.0.0"
    artifacts.mkdir(parents=True)
    (artifacts / "web.zip").write_bytes(bytes(9 << 20))
    manifest = {"Lifecycle": {}, "Artifacts": [{"URI": "s3://BUCKET_NAME/x/y/web.zip"}]}
    recipe = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": "com.example.Web",
        "ComponentVersion": "1.0.0",
        "Manifests": [manifest],
    }
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    client_for("s3", endpoint_url).create_bucket(
        Bucket="parts", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    session = boto3.Session(ROOT_KEY.access_key_id, ROOT_KEY.secret_access_key, region_name=REGION)

    def once() -> str:
        made = publish(
            tmp_path, "recipe.yaml", session=session, endpoint_url=endpoint_url,
            bucket="parts", stack_bucket="parts", region=REGION,
        )  # fmt: skip
        return made.arn

    arn = once()

    shown = json.loads(greengrass.get_component(arn=arn, recipeOutputFormat="JSON")["recipe"])
    assert shown["Manifests"][0]["Artifacts"][0]["Algorithm"] == "SHA-256"
    with pytest.raises(VersionExists):
        once()
