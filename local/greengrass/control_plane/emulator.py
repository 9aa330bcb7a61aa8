"""Access to the emulator: IoT Jobs, shadows, the registry's groups, artifacts in S3.

The port ``Emulator`` and its boto3 adapter; the adapter lets no botocore error through.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlparse

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.greengrass.control_plane.errors import InternalError, InvalidRequest, NotFound

_SHADOW = "AWSManagedGreengrassV2Deployment"


@dataclass(frozen=True, slots=True)
class JobOrder:
    """An IoT Job to be created. ``continuous`` jobs also reach things that join the group later."""

    job_id: str
    target_arn: str
    document: str
    continuous: bool
    #: ``jobExecutionsRolloutConfig``, ``abortConfig`` and ``timeoutConfig``, in IoT's own shapes.
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Execution:
    """One thing's execution of a job, in IoT's words."""

    job_id: str
    status: str
    queued_at: datetime
    updated_at: datetime
    details: Mapping[str, str] = field(default_factory=dict)


class Emulator(Protocol):
    """The services the control plane stands on. Every method raises GreengrassError only."""

    def create_job(self, order: JobOrder) -> None:
        """Create the job; one that exists already under this id is taken for ours.

        Raises:
            NotFound: the target does not exist.
            InvalidRequest: IoT refused the document or settings.
        """

    def cancel_job(self, job_id: str, comment: str) -> bool:
        """Cancel what is still queued; return False when the job was over (or gone) already."""

    def job_status(self, job_id: str) -> str:
        """Return IoT's word for the job's state; ``DELETED`` when it is gone."""

    def want_in_shadow(self, thing: str, desired: Mapping[str, str]) -> None:
        """Write what the thing's deployment shadow wants.

        Raises:
            NotFound: there is no such thing.
        """

    def reported_in_shadow(self, thing: str) -> Mapping[str, Any]:
        """Return what the thing's deployment shadow says of it; nothing when it was never written."""

    def executions_of(self, thing: str) -> list[Execution]:
        """Return the thing's executions; none for a thing that does not exist."""

    def things_in_group(self, group: str) -> set[str]:
        """Return the members' names.

        Raises:
            NotFound: there is no such group.
        """

    def groups_of(self, thing: str) -> list[str]:
        """Return the names of the thing's groups; none for a thing that does not exist."""

    def policies_of(self, thing: str) -> list[Mapping[str, Any]]:
        """Return the documents of the IoT policies of the thing's certificates."""

    def artifact_sha256(self, uri: str) -> bytes | None:
        """Return the digest of the object at ``s3://bucket/key``; None when it cannot be read."""


class AwsEmulator:
    """The port over boto3, with the key in this process's environment; without an endpoint, AWS itself."""

    def __init__(self, endpoint_url: str | None, region: str) -> None:
        session = boto3.Session(region_name=region)
        config = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=5, read_timeout=30)
        self._iot = session.client("iot", endpoint_url=endpoint_url, config=config)
        self._shadows = session.client("iot-data", endpoint_url=endpoint_url, config=config)
        self._s3 = session.client(
            "s3", endpoint_url=endpoint_url, config=config.merge(Config(s3={"addressing_style": "path"}))
        )

    def create_job(self, order: JobOrder) -> None:
        """See the port."""
        try:
            self._iot.create_job(
                jobId=order.job_id,
                targets=[order.target_arn],
                document=order.document,
                targetSelection="CONTINUOUS" if order.continuous else "SNAPSHOT",
                **order.settings,
            )
        except ClientError as error:
            match _code(error):
                case "ResourceAlreadyExistsException":
                    return
                case "ResourceNotFoundException":
                    raise NotFound(_message(error), kind="target", id=order.target_arn) from error
                case "InvalidRequestException" | "ValidationException":
                    raise InvalidRequest(_message(error)) from error
                case _:
                    raise InternalError(f"CreateJob: {_message(error)}") from error
        except BotoCoreError as error:
            raise InternalError(f"CreateJob: {error}") from error

    def cancel_job(self, job_id: str, comment: str) -> bool:
        """See the port."""
        try:
            self._iot.cancel_job(jobId=job_id, comment=comment)
        except ClientError as error:
            if _code(error) in ("ResourceNotFoundException", "InvalidRequestException"):
                return False
            raise InternalError(f"CancelJob: {_message(error)}") from error
        except BotoCoreError as error:
            raise InternalError(f"CancelJob: {error}") from error
        return True

    def job_status(self, job_id: str) -> str:
        """See the port."""
        try:
            return str(self._iot.describe_job(jobId=job_id)["job"]["status"])
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                return "DELETED"
            raise InternalError(f"DescribeJob: {_message(error)}") from error
        except BotoCoreError as error:
            raise InternalError(f"DescribeJob: {error}") from error

    def want_in_shadow(self, thing: str, desired: Mapping[str, str]) -> None:
        """See the port."""
        payload = json.dumps({"state": {"desired": dict(desired)}}).encode()
        try:
            self._iot.describe_thing(thingName=thing)
            self._shadows.update_thing_shadow(thingName=thing, shadowName=_SHADOW, payload=payload)
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                raise NotFound(_message(error), kind="target", id=thing) from error
            raise InternalError(f"UpdateThingShadow: {_message(error)}") from error
        except BotoCoreError as error:
            raise InternalError(f"UpdateThingShadow: {error}") from error

    def reported_in_shadow(self, thing: str) -> Mapping[str, Any]:
        """See the port."""
        try:
            answer = self._shadows.get_thing_shadow(thingName=thing, shadowName=_SHADOW)
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                return {}
            raise InternalError(f"GetThingShadow: {_message(error)}") from error
        except BotoCoreError as error:
            raise InternalError(f"GetThingShadow: {error}") from error
        reported: dict[str, Any] = json.loads(answer["payload"].read())["state"].get("reported", {})
        return reported

    def executions_of(self, thing: str) -> list[Execution]:
        """See the port."""
        found: list[Execution] = []
        try:
            for page in self._iot.get_paginator("list_job_executions_for_thing").paginate(thingName=thing):
                for entry in page["executionSummaries"]:
                    # A thing that left its group and came back has several of one job, by number.
                    job_id, number = entry["jobId"], entry["jobExecutionSummary"].get("executionNumber")
                    which = {} if number is None else {"executionNumber": number}
                    execution = self._iot.describe_job_execution(jobId=job_id, thingName=thing, **which)[
                        "execution"
                    ]
                    found.append(
                        Execution(
                            job_id=job_id,
                            status=execution["status"],
                            queued_at=execution["queuedAt"],
                            updated_at=execution["lastUpdatedAt"],
                            details=execution.get("statusDetails", {}).get("detailsMap", {}),
                        )
                    )
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                return []
            raise InternalError(f"ListJobExecutionsForThing: {_message(error)}") from error
        except BotoCoreError as error:
            raise InternalError(f"ListJobExecutionsForThing: {error}") from error
        return found

    def things_in_group(self, group: str) -> set[str]:
        """See the port."""
        try:
            pages = self._iot.get_paginator("list_things_in_thing_group").paginate(
                thingGroupName=group, recursive=True
            )
            return {thing for page in pages for thing in page["things"]}
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                raise NotFound(_message(error), kind="thinggroup", id=group) from error
            raise InternalError(f"ListThingsInThingGroup: {_message(error)}") from error
        except BotoCoreError as error:
            raise InternalError(f"ListThingsInThingGroup: {error}") from error

    def groups_of(self, thing: str) -> list[str]:
        """See the port."""
        try:
            pages = self._iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing)
            return [group["groupName"] for page in pages for group in page["thingGroups"]]
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                return []
            raise InternalError(f"ListThingGroupsForThing: {_message(error)}") from error
        except BotoCoreError as error:
            raise InternalError(f"ListThingGroupsForThing: {error}") from error

    def policies_of(self, thing: str) -> list[Mapping[str, Any]]:
        """See the port."""
        try:
            found: list[Mapping[str, Any]] = []
            for principal in self._iot.list_thing_principals(thingName=thing)["principals"]:
                for policy in self._iot.list_attached_policies(target=principal)["policies"]:
                    document = self._iot.get_policy(policyName=policy["policyName"])["policyDocument"]
                    found.append(json.loads(document))
            return found
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                return []
            raise InternalError(f"policies of a thing: {_message(error)}") from error
        except BotoCoreError as error:
            raise InternalError(f"policies of a thing: {error}") from error

    def artifact_sha256(self, uri: str) -> bytes | None:
        """See the port."""
        place = urlparse(uri)
        digest = hashlib.sha256()
        try:
            body = self._s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"]
            for chunk in body.iter_chunks(1 << 20):
                digest.update(chunk)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404):
                return None
            raise InternalError(f"GetObject: {_message(error)}") from error
        except BotoCoreError as error:
            raise InternalError(f"GetObject: {error}") from error
        return digest.digest()


def _code(error: ClientError) -> str:
    return error.response["Error"].get("Code", "")


def _message(error: ClientError) -> str:
    return error.response["Error"].get("Message", "")
