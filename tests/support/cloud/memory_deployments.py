"""The deployments table without DynamoDB: the same answers, held to them by tests that run on both."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from cloud.aws.errors import Conflict
from cloud.domain.deployments.deployment import Deployment, DeploymentState, Pinned
from cloud.domain.deployments.deployment_outcomes import OF_JOB
from cloud.domain.deployments.lost_agents import taken_over
from cloud.domain.idempotency import KEPT_S, Idempotency, KeyReused
from cloud.tables.deployments import OUTCOME, Deployments
from contract.names import identifier
from tests.support.cloud.api import NOW

TARGET = "thinggroup/line-3"


class MemoryDeployments(Deployments):
    """Rows in dictionaries."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], Deployment] = {}
        self.due_at: dict[tuple[str, int], datetime] = {}
        self.keys: dict[str, tuple[Idempotency, Deployment]] = {}
        self.told: dict[tuple[str, str], tuple[Mapping[str, Any], datetime]] = {}

    def create(
        self, deployment: Deployment, *, due_at: datetime, idempotency: Idempotency | None = None
    ) -> None:
        row = (deployment.target, deployment.revision)
        taken = idempotency is not None and self._recorded(idempotency, deployment.created_at)
        if row in self.rows or taken:
            raise Conflict("create")
        self.rows[row], self.due_at[row] = deployment, due_at
        if idempotency is not None:
            self.keys[idempotency.key] = (idempotency, deployment)

    def get(self, deployment_id: str) -> Deployment | None:
        return next((self._read(row) for row, found in self.rows.items() if found.id == deployment_id), None)

    def _read(self, row: tuple[str, int]) -> Deployment:
        return replace(self.rows[row], due_at=self.due_at.get(row))

    def _is_as_read(self, deployment: Deployment) -> bool:
        row = (deployment.target, deployment.revision)
        return self.rows[row].state is deployment.state and self.due_at.get(row) == deployment.due_at

    def by_idempotency_key(self, idempotency: Idempotency, now: datetime) -> Deployment | None:
        recorded = self._recorded(idempotency, now)
        if recorded is None:
            return None
        used, made = recorded
        if used != idempotency:
            raise KeyReused
        return self._read((made.target, made.revision))

    def _recorded(self, idempotency: Idempotency, now: datetime) -> tuple[Idempotency, Deployment] | None:
        found = self.keys.get(idempotency.key)
        return found if found and now < found[1].created_at + timedelta(seconds=KEPT_S) else None

    def newest_first(self, target: str, *, before: int | None = None) -> Iterator[Deployment]:
        of_target = [row for row in self.rows if row[0] == target]
        for row in sorted(of_target, reverse=True):
            if before is None or row[1] < before:
                yield self._read(row)

    def look_again(self, deployment: Deployment, *, due_at: datetime) -> bool:
        row = (deployment.target, deployment.revision)
        if not self._is_as_read(deployment):
            return False
        self.due_at[row] = due_at
        return True

    def carried_by(
        self, deployment: Deployment, *, greengrass_id: str, job_id: str | None, now: datetime
    ) -> bool:
        row = (deployment.target, deployment.revision)
        if self.rows[row].state is not deployment.state:
            return False
        carried: dict[str, Any] = {"greengrass_id": greengrass_id, "job_id": job_id, "carried_at": now}
        carried |= {"watched_at": taken_over(deployment, now)}
        self.rows[row], self.due_at[row] = replace(self.rows[row], **carried), now
        return True

    def look_no_more(self, deployment: Deployment) -> bool:
        row = (deployment.target, deployment.revision)
        if not self._is_as_read(deployment):
            return False
        self.due_at.pop(row, None)
        return True

    def note(
        self, deployment: Deployment, *, code: str | None, message: str | None, agents_lost: int,
        watched_at: Sequence[datetime],
    ) -> bool:  # fmt: skip
        row = (deployment.target, deployment.revision)
        if not self._is_as_read(deployment):
            return False
        noted: dict[str, Any] = {"agents_lost": agents_lost, "watched_at": tuple(watched_at)}
        self.rows[row] = replace(self.rows[row], code=code, message=message, **noted)
        return True

    def asked(self, deployment: Deployment, device: str) -> bool:
        row = (deployment.target, deployment.revision)
        if self.rows[row].state is not deployment.state:
            return False
        self.rows[row] = replace(self.rows[row], asked=device)
        return True

    def record_end_of_job(
        self, deployment_id: str, device: str, outcome: Mapping[str, Any], at: datetime
    ) -> bool:
        if (deployment_id, device) in self.told:
            return False
        self.told[deployment_id, device] = ({**outcome, "epoch": "job", "sequence": 0}, at)
        return True

    def due(self, now: datetime) -> Iterator[Deployment]:
        yield from [self._read(row) for row, due_at in self.due_at.items() if due_at <= now]

    def record_outcome(
        self, deployment_id: str, device: str, outcome: Mapping[str, Any], received_at: datetime
    ) -> bool:
        known = self.told.get((deployment_id, device))
        if known is not None:
            before, at = known
            same_epoch = before["epoch"] == outcome["epoch"]
            newer = before["sequence"] <= outcome["sequence"] if same_epoch else at < received_at
            if not newer and before["epoch"] != "job":
                return False
        self.told[deployment_id, device] = (outcome, received_at)
        return True

    def outcomes(self, deployment_id: str) -> dict[str, Mapping[str, Any]]:
        return {
            device: {name: outcome[name] for name in OUTCOME if name in outcome}
            | {"received_at": at}
            | ({OF_JOB: True} if outcome["epoch"] == "job" else {})
            for (deployment, device), (outcome, at) in self.told.items()
            if deployment == deployment_id
        }

    def _move(
        self,
        deployment: Deployment,
        state: DeploymentState,
        now: datetime,
        told: Mapping[str, object],
        remove: tuple[str, ...] = ("due_shard", "due_at"),
    ) -> bool:
        row = (deployment.target, deployment.revision)
        if self.rows[row].state is not deployment.state:
            return False
        changes: dict[str, Any] = {name: value for name, value in told.items() if not name.startswith("due")}
        self.rows[row] = replace(self.rows[row], state=state, changed_at=now, **changes)
        if "due_at" in told:
            self.due_at[row] = datetime.fromtimestamp(float(str(told["due_at"])) / 1000, now.tzinfo)
        if remove:
            self.due_at.pop(row, None)
        return True


def a_deployment(revision: int = 1, target: str = TARGET, **changes: Any) -> Deployment:
    given: dict[str, Any] = {
        "id": identifier("dep", unix_ms=revision, random80=hash(target) & 0xFFFF),
        "target": target,
        "revision": revision,
        "document_uri": "s3://bucket/desired/x.json",
        "applications": (Pinned("web", "image@sha256:1", "c1"),),
        "diff": {"added": ["web"], "removed": [], "changed": [{"name": "b", "configuration_changed": True}]},
        "warnings": ("mind the gap",),
        "requested_by": "ada",
        "reason": None,
        "created_at": NOW,
        "changed_at": NOW,
    }
    return Deployment(**(given | changes))
