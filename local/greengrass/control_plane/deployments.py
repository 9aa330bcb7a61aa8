"""Deployments: revisions of a target, each a real IoT Job of the emulator, or a thing's shadow.

A deployment to one thing is no job: it is what the thing's named shadow wants, one at a time. Greengrass does
not look at the nucleus: to Lite, which has no listener, it never comes.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from local.greengrass.control_plane import job_document
from local.greengrass.control_plane.components import Components
from local.greengrass.control_plane.emulator import Emulator, JobOrder
from local.greengrass.control_plane.errors import Conflict, InvalidRequest, NotFound
from local.greengrass.control_plane.names import Place, Target
from local.greengrass.control_plane.records import Record, Records

#: IoT's word for a job → Greengrass's word for its deployment.
_STATUS = {"IN_PROGRESS": "ACTIVE", "SCHEDULED": "ACTIVE", "COMPLETED": "COMPLETED", "CANCELED": "CANCELED"}
#: What a core reports of its shadow's deployment → Greengrass's word for it.
_REPORTED = {"SUCCEEDED": "COMPLETED", "FAILED": "FAILED", "REJECTED": "FAILED"}


class Deployments:
    """Every deployment made here.

    A record is SUBMITTING from before its job is asked for until the job is there; only SUBMITTED ones
    are shown. A repeated clientToken finishes a SUBMITTING one with the same job id, so a crash between
    the two leaves neither a job without a deployment nor two jobs.
    """

    def __init__(
        self,
        records: Records,
        components: Components,
        emulator: Emulator,
        place: Place,
        now: Callable[[], float],
    ) -> None:
        self._records = records
        self._components = components
        self._emulator = emulator
        self._place = place
        self._now = now

    def create(self, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        """Return CreateDeployment's answer; the target's previous job is cancelled.

        Raises:
            InvalidRequest: a part of the request means nothing.
            NotFound: a component version or the target does not exist.
            Conflict: the clientToken was used for another request.
        """
        target = Target.parse(body.get("targetArn"))
        request: dict[str, Any] = {
            "target_arn": target.arn,
            "name": body.get("deploymentName"),
            "components": job_document.components(body),
            "policies": job_document.policies(body),
            "job_settings": job_document.job_settings(body),
            "parent_target_arn": body.get("parentTargetArn"),
            "tags": body.get("tags") or {},
        }
        token = body.get("clientToken")
        record = self._by_token(token)
        if record is not None:
            if any(record[key] != value for key, value in request.items()):
                raise Conflict(
                    "clientToken was used for another deployment", kind="deployment", id=record["id"]
                )
        else:
            self._refuse_unknown(request["components"])
            record = {
                "id": str(uuid.uuid4()),
                "job_id": str(uuid.uuid4()) if target.kind == "thinggroup" else None,
                "revision": self._next_revision(target.arn),
                "created_at": self._now(),
                "created_by": who,
                "client_token": token,
                "state": "SUBMITTING",
                **request,
            }
            self._records.put(record["id"], record)
        if record["state"] != "SUBMITTED":
            self._submit(record, target)
        self._supersede_older_than(record)
        return self._created(record)

    def get(self, deployment_id: str) -> dict[str, Any]:
        """Return GetDeployment's answer; the status is the job's at this moment."""
        record = self._existing(deployment_id)
        answer = self._summary(record) | {
            **self._job(record),
            "components": record["components"],
            "deploymentPolicies": record["policies"],
            "iotJobConfiguration": record["job_settings"],
            "tags": record["tags"],
        }
        return {member: value for member, value in answer.items() if value is not None}

    def find(self, target_arn: str | None, history: str, parent_arn: str | None) -> list[Record]:
        """Return the deployments' records asked for, newest first; ``summary`` makes entries of them."""
        if history not in ("ALL", "LATEST_ONLY"):
            raise InvalidRequest("Invalid Input: historyFilter must be ALL or LATEST_ONLY")
        if target_arn is not None:
            Target.parse(target_arn)
        found = [
            record
            for record in self._submitted()
            if (target_arn is None or record["target_arn"] == target_arn)
            and (parent_arn is None or record["parent_target_arn"] == parent_arn)
            and (history == "ALL" or self._is_latest(record))
        ]
        return sorted(found, key=lambda record: (record["created_at"], record["revision"]), reverse=True)

    def summary(self, record: Record) -> dict[str, Any]:
        """Return a record as ListDeployments shows it."""
        return {member: value for member, value in self._summary(record).items() if value is not None}

    def cancel(self, deployment_id: str) -> dict[str, Any]:
        """Return CancelDeployment's answer. Devices that already have the document go on with it.

        Raises:
            NotFound: there is no such deployment.
            Conflict: it is not active any more.
        """
        record = self._existing(deployment_id)
        if record["job_id"] is None:
            if self._status(record) != "ACTIVE":
                raise Conflict(
                    f"Deployment {deployment_id} is not active", kind="deployment", id=deployment_id
                )
            self._want(record, Target.parse(record["target_arn"]), "CANCELED")
            self._records.put(record["id"], record | {"cancelled": True})
        elif not self._emulator.cancel_job(record["job_id"], "The deployment was canceled"):
            raise Conflict(f"Deployment {deployment_id} is not active", kind="deployment", id=deployment_id)
        return {"message": f"Deployment {deployment_id} was canceled"}

    def by_job(self) -> dict[str, Record]:
        """Return every deployment's record by its job's id."""
        return {record["job_id"]: record for record in self._submitted() if record["job_id"] is not None}

    def in_shadow(self, thing: str) -> tuple[Record, Mapping[str, Any]] | None:
        """Return the deployment that a thing's shadow speaks of, and what it says; None for none of ours."""
        reported = self._emulator.reported_in_shadow(thing)
        for record in self._submitted():
            target = Target.parse(record["target_arn"])
            told = self._configuration_arn(record, target) == reported.get("arnForStatus")
            if told and (target.kind, target.name) == ("thing", thing):
                return record, reported
        return None

    def job_arn(self, record: Record) -> str:
        """Return the ARN of a deployment's job."""
        return f"arn:aws:iot:{self._place.region}:{self._place.account}:job/{record['job_id']}"

    def _submit(self, record: Record, target: Target) -> None:
        try:
            if record["job_id"] is None:
                self._want(record, target, "SUCCEEDED")
            else:
                self._create_job(record, target)
        except (NotFound, InvalidRequest):
            self._records.remove(record["id"])  # a definite refusal; after any other failure a retry goes on
            raise
        self._records.put(record["id"], record | {"state": "SUBMITTED"})

    def _want(self, record: Record, target: Target, status: str) -> None:
        document = job_document.render(record, self._configuration_arn(record, target))
        self._emulator.want_in_shadow(target.name, {"fleetConfig": document, "desiredStatus": status})

    def _configuration_arn(self, record: Record, target: Target) -> str:
        return self._place.configuration(target, str(record["revision"]))

    def _create_job(self, record: Record, target: Target) -> None:
        order = JobOrder(
            job_id=record["job_id"],
            target_arn=target.arn,
            document=job_document.render(record, self._configuration_arn(record, target)),
            continuous=True,
            settings=record["job_settings"],
        )
        self._emulator.create_job(order)

    def _supersede_older_than(self, record: Record) -> None:
        for other in self._records:
            older = other["target_arn"] == record["target_arn"] and other["revision"] < record["revision"]
            if older and not other.get("over"):
                if other["job_id"] is not None:
                    self._emulator.cancel_job(other["job_id"], f"Superseded by deployment {record['id']}")
                self._records.put(other["id"], other | {"over": True})

    def _by_token(self, token: str | None) -> Record | None:
        """Return what an earlier try made; not one that got no job before a newer revision came."""
        made = (r for r in self._records if token is not None and r["client_token"] == token)
        return next((r for r in made if r["state"] == "SUBMITTED" or not r.get("over")), None)

    def _refuse_unknown(self, components: Mapping[str, Any]) -> None:
        for name, component in components.items():
            version = component["componentVersion"]
            if not self._components.exists(name, version):
                raise NotFound(
                    f"Component {name} version {version} does not exist",
                    kind="component-version",
                    id=f"{name}:{version}",
                )

    def _next_revision(self, target_arn: str) -> int:
        return 1 + max((r["revision"] for r in self._records if r["target_arn"] == target_arn), default=0)

    def _submitted(self) -> list[Record]:
        return [record for record in self._records if record["state"] == "SUBMITTED"]

    def _is_latest(self, record: Record) -> bool:
        return all(
            other["revision"] <= record["revision"]
            for other in self._submitted()
            if other["target_arn"] == record["target_arn"]
        )

    def _existing(self, deployment_id: str) -> Record:
        record = self._records.get(deployment_id)
        if record is None or record["state"] != "SUBMITTED":
            raise NotFound(f"Deployment {deployment_id} does not exist", kind="deployment", id=deployment_id)
        return record

    def _summary(self, record: Record) -> dict[str, Any]:
        return {
            "targetArn": record["target_arn"],
            "revisionId": str(record["revision"]),
            "deploymentId": record["id"],
            "deploymentName": record["name"],
            "creationTimestamp": record["created_at"],
            "deploymentStatus": self._status(record),
            "isLatestForTarget": self._is_latest(record),
            "parentTargetArn": record["parent_target_arn"],
        }

    def _created(self, record: Record) -> dict[str, Any]:
        return {"deploymentId": record["id"], **self._job(record)}

    def _job(self, record: Record) -> dict[str, str]:
        if record["job_id"] is None:
            return {}
        return {"iotJobId": record["job_id"], "iotJobArn": self.job_arn(record)}

    def _status(self, record: Record) -> str:
        if record["job_id"] is not None:
            return _STATUS.get(self._emulator.job_status(record["job_id"]), "INACTIVE")
        if record.get("cancelled"):
            return "CANCELED"
        if not self._is_latest(record):
            return "INACTIVE"
        told = self.in_shadow(Target.parse(record["target_arn"]).name)
        if told is None or told[0]["id"] != record["id"]:
            return "ACTIVE"
        return _REPORTED.get(str(told[1].get("status")), "ACTIVE")
