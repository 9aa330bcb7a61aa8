"""Creation and update of the stack from ``cloud/template.yaml``; running it again changes nothing."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

log = logging.getLogger(__name__)

TEMPLATE = Path(__file__).resolve().parents[1] / "template.yaml"
_POLL_S = 1.0
_TIMEOUT_S = 1800.0
_DEAD = frozenset(
    {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS"}
)


class StackFailed(Exception):
    """The stack is not as the template says; the text names what failed and why."""

    code = "stack-failed"


@dataclass(frozen=True, slots=True)
class Clients:
    """The boto3 clients of a deployment, of one account and region."""

    cloudformation: Any
    s3: Any
    sts: Any
    region: str


def outputs(cloudformation: Any, stack: str) -> dict[str, str]:
    """Return the outputs of a stack that exists and is whole.

    Raises:
        StackFailed: there is no such stack, or its last operation failed.
    """
    found = _describe(cloudformation, stack)
    if found is None:
        raise StackFailed(f'there is no stack "{stack}": run `python -m cloud deploy` first')
    if found["StackStatus"] in _DEAD:
        raise StackFailed(f'stack "{stack}" is in {found["StackStatus"]}')
    return {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])}


def deploy(
    clients: Clients,
    stack: str,
    code: Path,
    parameters: Mapping[str, str],
    *,
    template: Path = TEMPLATE,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, str]:
    """Upload ``code``, make the stack as the template and ``parameters`` say, and return its outputs.

    A parameter that is not given keeps its value of last time, or the template's default.

    Raises:
        StackFailed: with every resource that failed, and CloudFormation's reason.
    """
    bucket, key = _upload(clients, stack, code)
    body = template.read_bytes()
    template_key = f"template/{hashlib.sha256(body).hexdigest()}.yaml"
    clients.s3.put_object(Bucket=bucket, Key=template_key, Body=body)
    given = {**parameters, "CodeBucket": bucket, "CodeKey": key}
    earlier = _describe(clients.cloudformation, stack)
    if earlier is not None and earlier["StackStatus"] in _DEAD:
        raise StackFailed(
            f'stack "{stack}" is in {earlier["StackStatus"]} and can only be deleted: '
            f"aws cloudformation delete-stack --stack-name {stack}"
        )
    known = {p["ParameterKey"] for p in (earlier or {}).get("Parameters", [])}
    request = {
        "StackName": stack,
        "TemplateURL": _url(clients.s3, bucket, template_key),
        "Capabilities": ["CAPABILITY_IAM"],
        "Parameters": [
            *({"ParameterKey": k, "ParameterValue": v} for k, v in given.items()),
            *({"ParameterKey": k, "UsePreviousValue": True} for k in sorted(known - given.keys())),
        ],
    }
    try:
        if earlier is None:
            log.info("creating the stack: stack=%s", stack)
            clients.cloudformation.create_stack(**request)
        else:
            log.info("updating the stack: stack=%s", stack)
            clients.cloudformation.update_stack(**request)
    except ClientError as error:
        message = error.response["Error"].get("Message", "")
        if "No updates are to be performed" in message:
            return outputs(clients.cloudformation, stack)
        raise StackFailed(f"{error.operation_name}: {message}") from error
    _wait(clients.cloudformation, stack, since=_last_event(earlier), sleep=sleep, clock=clock)
    return outputs(clients.cloudformation, stack)


def _upload(clients: Clients, stack: str, code: Path) -> tuple[str, str]:
    """Put the zip where its hash says; return bucket and key.

    The bucket's name can be guessed: one that another account created first is refused.
    """
    account = clients.sts.get_caller_identity()["Account"]
    bucket = f"{stack}-code-{clients.region}-{account}"
    key = f"lambda/{hashlib.sha256(code.read_bytes()).hexdigest()}.zip"
    try:
        clients.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise StackFailed(f"the code's bucket {bucket} cannot be used: {error}") from error
        where = (
            {}
            if clients.region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": clients.region}}
        )
        clients.s3.create_bucket(Bucket=bucket, **where)
    try:
        clients.s3.head_object(Bucket=bucket, Key=key)
    except ClientError:
        with code.open("rb") as body:
            clients.s3.put_object(Bucket=bucket, Key=key, Body=body)
    return bucket, key


def _url(s3: Any, bucket: str, key: str) -> str:
    return str(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})).split("?")[0]


def _describe(cloudformation: Any, stack: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"].get("Message", ""):
            return None
        raise StackFailed(f"stack {stack} cannot be described: {error}") from error
    return found if found["StackStatus"] != "DELETE_COMPLETE" else None


def _wait(
    cloudformation: Any,
    stack: str,
    *,
    since: Any,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    end = clock() + _TIMEOUT_S
    while True:
        found = _describe(cloudformation, stack)
        status = "DELETE_COMPLETE" if found is None else found["StackStatus"]
        if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            return
        if not status.endswith("_IN_PROGRESS") or clock() > end:
            raise StackFailed(_failure(cloudformation, stack, status, since))
        sleep(_POLL_S)


def _last_event(earlier: Mapping[str, Any] | None) -> Any:
    return None if earlier is None else earlier.get("LastUpdatedTime") or earlier.get("CreationTime")


def _failure(cloudformation: Any, stack: str, status: str, since: Any) -> str:
    """Say which resources failed and why, the first cause first."""
    lines = []
    for event in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]:
        new = since is None or event["Timestamp"] > since
        reason = event.get("ResourceStatusReason", "")
        if new and event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in reason:
            lines.append(f"  {event['LogicalResourceId']} ({event.get('ResourceType', '')}): {reason}")
    return "\n".join([f'stack "{stack}" is in {status}:', *reversed(lines)])
