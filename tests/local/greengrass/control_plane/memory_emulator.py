"""The emulator port in memory: jobs, executions and artifacts that a test can look at and change."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.greengrass.control_plane.emulator import Execution, JobOrder
from local.greengrass.control_plane.errors import InternalError, NotFound


@dataclass
class MemoryEmulator:
    """Groups exist when they are in ``groups``, things when they are in ``things``."""

    groups: dict[str, set[str]] = field(default_factory=lambda: {"line-3": {"robot-7"}})
    things: set[str] = field(default_factory=lambda: {"robot-7", "robot-8"})
    objects: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, JobOrder] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    executions: dict[str, list[Execution]] = field(default_factory=dict)
    desired: dict[str, dict[str, str]] = field(default_factory=dict)
    reported: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    policies: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    lose_next_answer: bool = False

    def create_job(self, order: JobOrder) -> None:
        kind, _, name = order.target_arn.rpartition(":")[2].partition("/")
        if name not in (self.groups if kind == "thinggroup" else self.things):
            raise NotFound(f"{name} cannot be found", kind="target", id=order.target_arn)
        if order.job_id not in self.jobs:
            self.jobs[order.job_id] = order
            self.status[order.job_id] = "IN_PROGRESS"
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise InternalError("the answer was lost")

    def cancel_job(self, job_id: str, comment: str) -> bool:
        if self.status.get(job_id) != "IN_PROGRESS":
            return False
        self.status[job_id] = "CANCELED"
        return True

    def want_in_shadow(self, thing: str, desired: Mapping[str, str]) -> None:
        if thing not in self.things:
            raise NotFound(f"{thing} cannot be found", kind="target", id=thing)
        self.desired[thing] = dict(desired)

    def reported_in_shadow(self, thing: str) -> Mapping[str, Any]:
        return self.reported.get(thing, {})

    def job_status(self, job_id: str) -> str:
        return self.status.get(job_id, "DELETED")

    def executions_of(self, thing: str) -> list[Execution]:
        return self.executions.get(thing, [])

    def things_in_group(self, group: str) -> set[str]:
        if group not in self.groups:
            raise NotFound(f"{group} cannot be found", kind="thinggroup", id=group)
        return self.groups[group]

    def groups_of(self, thing: str) -> list[str]:
        return sorted(group for group, things in self.groups.items() if thing in things)

    def policies_of(self, thing: str) -> list[Mapping[str, Any]]:
        return self.policies.get(thing, [])

    def artifact_sha256(self, uri: str) -> bytes | None:
        content = self.objects.get(uri)
        return None if content is None else hashlib.sha256(content).digest()

    def take(self, thing: str, job_id: str, status: str, **details: str) -> None:
        """Let ``thing`` have an execution of the job in this state."""
        at = datetime(2026, 11, 1, tzinfo=UTC)
        self.executions.setdefault(thing, []).append(Execution(job_id, status, at, at, details))
