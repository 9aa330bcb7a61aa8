"""Deployments for tests: their table in memory, and one to put into it."""

from typing import Any

from cloud.domain.deployments.deployment import Deployment, Pinned
from cloud.tables.deployments import Deployments
from contract.names import identifier
from tests.support.cloud.api import DEPLOYMENTS, NOW, with_tables
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB

TARGET = "thinggroup/line-3"


def deployments_in_memory() -> Deployments:
    """Return the table's adapter over an empty DynamoDB in memory."""
    return Deployments(with_tables(MemoryDynamoDB()), DEPLOYMENTS)


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
