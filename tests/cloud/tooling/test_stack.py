"""Deploying the stack: on CloudFormation in memory, and on one that answers as told."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from cloud.tooling.stack import Clients, StackFailed, deploy, outputs
from tests.support.cloud.api import NOW, REGION

Memory = tuple[Any, Any]  # S3 and STS


@pytest.fixture(scope="module")
def memory() -> Iterator[Memory]:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
    with mock_aws(), pytest.MonkeyPatch.context() as environment:
        for name, value in keys.items():
            environment.setenv(name, value)
        yield boto3.client("s3", region_name=REGION), boto3.client("sts", region_name=REGION)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.yaml"
    path.write_text("Resources: {}")
    return path


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "code.zip"
    path.write_bytes(b"PK")
    return path


def _sleep(_: float) -> None:
    pass


class CloudFormation:
    """Answers as told: the stack's status before, and after an operation."""

    def __init__(self, before: str | None, *after: str, refusal: str = "") -> None:
        self.status, self.after, self.refusal = before, list(after), refusal
        self.began = False
        self.parameters: dict[str, str] = {}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if self.began and self.after:
            self.status = self.after.pop(0)
        if self.status is None:
            error = {"Code": "ValidationError", "Message": f"Stack with id {StackName} does not exist"}
            raise ClientError({"Error": error}, "DescribeStacks")  # type: ignore[typeddict-item]
        told = [{"OutputKey": k, "OutputValue": v} for k, v in self.parameters.items()]
        known = [{"ParameterKey": k, "ParameterValue": v} for k, v in self.parameters.items()]
        stack = {"StackStatus": self.status, "CreationTime": NOW, "Outputs": told, "Parameters": known}
        return {"Stacks": [stack]}

    def create_stack(self, **request: Any) -> None:
        self._begin("CreateStack", request)

    def update_stack(self, **request: Any) -> None:
        self._begin("UpdateStack", request)

    def _begin(self, operation: str, request: dict[str, Any]) -> None:
        if self.refusal:
            error = {"Code": "ValidationError", "Message": self.refusal}
            raise ClientError({"Error": error}, operation)  # type: ignore[typeddict-item]
        self.began = True
        for parameter in request["Parameters"]:
            name = parameter["ParameterKey"]
            self.parameters[name] = parameter.get("ParameterValue") or self.parameters[name]

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:
        def event(resource: str, reason: str, minutes: int, status: str = "CREATE_FAILED") -> dict[str, Any]:
            return {
                "LogicalResourceId": resource, "ResourceType": "AWS::X", "ResourceStatus": status,
                "ResourceStatusReason": reason, "Timestamp": NOW + timedelta(minutes=minutes),
            }  # fmt: skip

        newest_first = [
            event("Third", "Resource creation cancelled", 3),
            event("Second", "limit exceeded", 2, "UPDATE_FAILED"),
            event("First", "access denied", 1),
            event("Old", "of another day", -1),
        ]
        return {"StackEvents": newest_first}


def on(memory: Memory, cloudformation: CloudFormation) -> Clients:
    s3, sts = memory
    return Clients(cloudformation, s3, sts, REGION)


def test_a_stack_is_made_then_updated_and_keeps_the_parameters_that_are_not_given(
    memory: Memory, template: Path, code: Path
) -> None:
    cloudformation = CloudFormation(None, "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    clients = on(memory, cloudformation)
    first = deploy(clients, "fleet", code, {"Colour": "blue"}, template=template, sleep=_sleep)
    code.write_bytes(b"PK2")
    second = deploy(clients, "fleet", code, {}, template=template, sleep=_sleep)

    assert first["Colour"] == second["Colour"] == "blue"
    assert first["CodeKey"] != second["CodeKey"]
    assert outputs(cloudformation, "fleet") == second


def test_the_same_again_changes_nothing(memory: Memory, template: Path, code: Path) -> None:
    cloudformation = CloudFormation(None, "CREATE_COMPLETE")
    clients = on(memory, cloudformation)
    first = deploy(clients, "same", code, {}, template=template, sleep=_sleep)
    cloudformation.refusal = "No updates are to be performed."

    assert deploy(clients, "same", code, {}, template=template, sleep=_sleep) == first
    stored = [o["Key"] for o in clients.s3.list_objects_v2(Bucket=first["CodeBucket"])["Contents"]]
    assert len(stored) == 2  # one zip, one template


def test_a_stack_that_does_not_exist_is_said_with_what_to_do() -> None:
    with pytest.raises(StackFailed, match="python -m cloud deploy"):
        outputs(CloudFormation(None), "fleet")


def test_a_failure_names_every_cause_the_first_one_first(memory: Memory, template: Path, code: Path) -> None:
    broken = CloudFormation("UPDATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE")

    with pytest.raises(StackFailed) as failed:
        deploy(on(memory, broken), "fleet", code, {}, template=template, sleep=_sleep)

    lines = str(failed.value).splitlines()
    assert "UPDATE_ROLLBACK_COMPLETE" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["First", "Second"]


def test_a_stack_that_can_only_be_deleted_is_not_touched(memory: Memory, template: Path, code: Path) -> None:
    dead = CloudFormation("ROLLBACK_COMPLETE")

    with pytest.raises(StackFailed, match="delete-stack --stack-name fleet"):
        deploy(on(memory, dead), "fleet", code, {}, template=template, sleep=_sleep)

    assert not dead.began


def test_a_refusal_is_passed_on(memory: Memory, template: Path, code: Path) -> None:
    refusing = CloudFormation(None, refusal="Parameters: [Issuers] must have values")

    with pytest.raises(StackFailed, match="Issuers"):
        deploy(on(memory, refusing), "fleet", code, {}, template=template, sleep=_sleep)


def test_waiting_ends(memory: Memory, template: Path, code: Path) -> None:
    slow = CloudFormation(None, *["CREATE_IN_PROGRESS"] * 9)
    hours = iter(range(100))

    with pytest.raises(StackFailed, match="CREATE_IN_PROGRESS"):
        deploy(
            on(memory, slow), "fleet", code, {}, template=template, sleep=_sleep,
            clock=lambda: next(hours) * 3600.0,
        )  # fmt: skip


class SomebodyElsesBucket:
    """It has the name that ours would have, and lets everybody in."""

    def head_bucket(self, *, Bucket: str, ExpectedBucketOwner: str = "") -> None:
        if ExpectedBucketOwner:
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")


def test_no_code_is_put_into_a_bucket_that_somebody_else_made_first(
    memory: Memory, code: Path, template: Path
) -> None:
    clients = Clients(CloudFormation(None), SomebodyElsesBucket(), memory[1], REGION)
    with pytest.raises(StackFailed, match="cannot be used"):
        deploy(clients, "fg", code, {}, template=template, sleep=_sleep)
