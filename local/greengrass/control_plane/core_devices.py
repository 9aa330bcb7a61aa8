"""Core devices: their last reported status, and the deployments that reached them.

A real core says it by MQTT; a stand-in core posts it to ``/greengrass/v2/_coreDeviceStatus``:
``{coreDeviceThingName, status: HEALTHY|UNHEALTHY, coreVersion?, platform?, architecture?, runtime?,
components?: [{componentName, componentVersion, lifecycleState, lifecycleStateDetails?, isRoot?}]}``.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from contract.names import ThingName
from local.greengrass.control_plane.deployments import Deployments
from local.greengrass.control_plane.device_policy import allows
from local.greengrass.control_plane.emulator import Emulator, Execution
from local.greengrass.control_plane.errors import Forbidden, InvalidRequest, NotFound
from local.greengrass.control_plane.names import Target
from local.greengrass.control_plane.records import Record, Records

_ABOUT = ("coreVersion", "platform", "architecture", "runtime")
_THING = TypeAdapter[str](ThingName)


class CoreDevices:
    """The cores that have been heard of."""

    def __init__(
        self, records: Records, deployments: Deployments, emulator: Emulator, now: Callable[[], float]
    ) -> None:
        self._records = records
        self._deployments = deployments
        self._emulator = emulator
        self._now = now

    def report(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Keep what a core says of itself.

        Raises:
            InvalidRequest: no thing's name, or a status that AWS does not know.
        """
        try:
            thing = _THING.validate_python(body.get("coreDeviceThingName"))
        except ValidationError as error:
            raise InvalidRequest("Invalid Input: coreDeviceThingName must be a thing's name") from error
        if body.get("status") not in ("HEALTHY", "UNHEALTHY"):
            raise InvalidRequest("Invalid Input: status must be HEALTHY or UNHEALTHY")
        before = self._records.get(thing) or {}
        said = {key: body[key] for key in ("status", "components", *_ABOUT) if body.get(key) is not None}
        self._records.put(thing, before | said | {"thing": thing, "updated_at": self._now()})
        return {}

    def find(self, group_arn: str | None, status: str | None) -> list[dict[str, Any]]:
        """Return ListCoreDevices' entries, by name; without a group, AWS lists every core."""
        members: set[str] | None = None
        if group_arn is not None:
            group = Target.parse(group_arn)
            if group.kind != "thinggroup":
                raise InvalidRequest("Invalid Input: thingGroupArn must be the ARN of a thing group")
            members = self._emulator.things_in_group(group.name)
        chosen = [
            record
            for record in self._records
            if (members is None or record["thing"] in members)
            and (status is None or record["status"] == status)
        ]
        return [self._summary(record) for record in sorted(chosen, key=lambda record: str(record["thing"]))]

    def get(self, thing: str) -> dict[str, Any]:
        """Return GetCoreDevice's answer."""
        record = self._existing(thing)
        return {"coreVersion": record.get("coreVersion", ""), **self._summary(record), "tags": {}}

    def thing_groups(self, thing: str) -> dict[str, Any]:
        """Return ListThingGroupsForCoreDevice's answer, which a core asks for with its certificate.

        Raises:
            Forbidden: no policy of its certificate allows it.
        """
        action = "greengrass:ListThingGroupsForCoreDevice"
        if not allows(self._emulator.policies_of(thing), action):
            raise Forbidden(f"User is not authorized to perform: {action}")
        return {
            "thingGroups": [
                {"thingGroupName": group, "rootToParentThingGroups": []}
                for group in self._emulator.groups_of(thing)
            ]
        }

    def installed_components(self, thing: str, topology: str) -> list[dict[str, Any]]:
        """Return ListInstalledComponents' entries as the core last told them."""
        if topology not in ("ALL", "ROOT"):
            raise InvalidRequest("Invalid Input: topologyFilter must be ALL or ROOT")
        record = self._existing(thing)
        return [
            {
                "isRoot": False,
                "lifecycleStateDetails": "",
                "lastReportedTimestamp": record["updated_at"],
                **component,
            }
            for component in record.get("components", [])
            if topology == "ALL" or component.get("isRoot")
        ]

    def effective_deployments(self, thing: str) -> list[dict[str, Any]]:
        """Return ListEffectiveDeployments' entries, newest first, from the thing's job executions and shadow.

        Raises:
            NotFound: neither a status nor a deployment of the thing is known.
        """
        deployments = self._deployments.by_job()
        found = [
            (execution, deployments[execution.job_id])
            for execution in self._emulator.executions_of(thing)
            if execution.job_id in deployments and execution.status != "REMOVED"
        ]
        entries = [(record, self._effective(execution, record)) for execution, record in found]
        if (told := self._deployments.in_shadow(thing)) is not None:
            entries.append((told[0], self._in_shadow(*told)))
        if not entries:
            self._existing(thing)
        entries.sort(key=lambda pair: (pair[0]["created_at"], pair[0]["revision"]), reverse=True)
        return [entry for _, entry in entries]

    def _in_shadow(self, record: Record, reported: Mapping[str, Any]) -> dict[str, Any]:
        status = str(reported.get("status"))
        entry: dict[str, Any] = {
            "deploymentId": record["id"],
            "deploymentName": record["name"] or f"Deployment for {record['target_arn'].rpartition('/')[2]}",
            "targetArn": record["target_arn"],
            "coreDeviceExecutionStatus": "COMPLETED" if status == "SUCCEEDED" else status,
            "creationTimestamp": record["created_at"],
            "modifiedTimestamp": record["created_at"],
        }
        if cause := (reported.get("statusDetails") or {}).get("failureCause"):
            entry["reason"] = cause
        return entry

    def _effective(self, execution: Execution, record: Record) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "deploymentId": record["id"],
            "deploymentName": record["name"] or f"Deployment for {record['target_arn'].rpartition('/')[2]}",
            "iotJobId": record["job_id"],
            "iotJobArn": self._deployments.job_arn(record),
            "targetArn": record["target_arn"],
            "coreDeviceExecutionStatus": execution.status,
            "creationTimestamp": execution.queued_at.timestamp(),
            "modifiedTimestamp": execution.updated_at.timestamp(),
        }
        if cause := execution.details.get("deployment-failure-cause"):
            entry["reason"] = cause
        return entry

    def _existing(self, thing: str) -> Record:
        record = self._records.get(thing)
        if record is None:
            raise NotFound(f"Core device {thing} does not exist", kind="core-device", id=thing)
        return record

    def _summary(self, record: Record) -> dict[str, Any]:
        return {
            "coreDeviceThingName": record["thing"],
            "status": record["status"],
            "lastStatusUpdateTimestamp": record["updated_at"],
            **{key: record[key] for key in _ABOUT if key in record and key != "coreVersion"},
        }
