"""The boto3 adapter behind the control plane, on moto."""

import hashlib
import json
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from local.greengrass.control_plane.emulator import AwsEmulator, JobOrder
from local.greengrass.control_plane.errors import NotFound
from tests.local.greengrass.control_plane.requests_as_sdk import REGION


@pytest.fixture
def emulator() -> Iterator[AwsEmulator]:
    with mock_aws():
        yield AwsEmulator(None, REGION)


def a_thing(name: str) -> str:
    return str(boto3.client("iot", REGION).create_thing(thingName=name)["thingArn"])


def test_a_job_is_created_described_and_cancelled_once(emulator: AwsEmulator) -> None:
    order = JobOrder("job-1", a_thing("robot-7"), json.dumps({"components": {}}), continuous=False)

    emulator.create_job(order)

    assert emulator.job_status("job-1") == "QUEUED"  # moto's word at first; IoT says IN_PROGRESS
    assert [execution.status for execution in emulator.executions_of("robot-7")] == ["QUEUED"]
    assert emulator.cancel_job("job-1", "superseded") is True
    assert emulator.job_status("job-1") == "CANCELED"


def test_a_job_that_is_gone_says_so(emulator: AwsEmulator) -> None:
    assert emulator.job_status("ghost") == "DELETED"


def test_a_group_has_its_members_and_an_unknown_one_is_not_found(emulator: AwsEmulator) -> None:
    iot = boto3.client("iot", REGION)
    a_thing("robot-7")
    iot.create_thing_group(thingGroupName="line-3")
    iot.add_thing_to_thing_group(thingGroupName="line-3", thingName="robot-7")

    assert emulator.things_in_group("line-3") == {"robot-7"}
    with pytest.raises(NotFound):
        emulator.things_in_group("ghosts")


def test_an_artifacts_digest_is_that_of_its_bytes(emulator: AwsEmulator) -> None:
    s3 = boto3.client("s3", REGION)
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="artifacts", Key="web/1.0.0/web.zip", Body=b"zip")

    assert emulator.artifact_sha256("s3://artifacts/web/1.0.0/web.zip") == hashlib.sha256(b"zip").digest()
    assert emulator.artifact_sha256("s3://artifacts/web/1.0.0/ghost.zip") is None
    assert emulator.artifact_sha256("s3://ghosts/web.zip") is None
