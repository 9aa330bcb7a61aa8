"""Rows of deployments: to DynamoDB attributes and back. Pure, no call. Times are Unix milliseconds."""

import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from cloud.aws.attributes import from_item
from cloud.domain.deployments.deployment import Deployment, DeploymentState, DeploymentSummary, Pinned
from cloud.domain.timestamps import from_ms, to_ms

DUE_SHARDS = 2
KIND = "deployment"  # the one partition of the index by-created
#: What a list shows: the keys, and what by-created includes.
HEADLINE = (
    "pk", "id", "revision", "state", "requested_by", "reason", "created_at", "changed_at", "code", "message",
)  # fmt: skip
_TIMES = ("created_at", "changed_at")


def to_row(deployment: Deployment) -> dict[str, object]:
    """Return the row of ``deployment``, without what becomes of it."""
    return {
        "pk": deployment.target,
        "sk": sort_key(deployment.revision),
        "kind": KIND,
        "id": deployment.id,
        "revision": deployment.revision,
        "state": deployment.state.value,
        "document_uri": deployment.document_uri,
        "applications": [
            {"name": one.name, "image": one.image, "configuration": one.configuration}
            for one in deployment.applications
        ],
        "diff": deployment.diff,
        "warnings": deployment.warnings,
        "requested_by": deployment.requested_by,
        "reason": deployment.reason,
        "agents_lost": deployment.agents_lost,
        "watched_at": to_moments(deployment.watched_at),
        **{name: to_ms(getattr(deployment, name)) for name in _TIMES},
    }


def to_deployment(item: Mapping[str, Any]) -> Deployment:
    """Return the deployment of an item."""
    row = from_item(item)
    return Deployment(
        id=row["id"],
        target=row["pk"],
        revision=row["revision"],
        document_uri=row["document_uri"],
        applications=tuple(Pinned(**one) for one in row["applications"]),
        diff=row["diff"],
        warnings=tuple(row["warnings"]),
        requested_by=row["requested_by"],
        reason=row["reason"],
        created_at=from_ms(row["created_at"]),
        changed_at=from_ms(row["changed_at"]),
        state=DeploymentState(row["state"]),
        code=row.get("code"),
        message=row.get("message"),
        greengrass_id=row.get("greengrass_id"),
        job_id=row.get("job_id"),
        carried_at=from_ms(row["carried_at"]) if "carried_at" in row else None,
        agents_lost=row.get("agents_lost", 0),
        watched_at=tuple(map(from_ms, row.get("watched_at", ()))),
        asked=row.get("asked"),
        due_at=from_ms(row["due_at"]) if "due_at" in row else None,
    )


def to_moments(moments: Iterable[datetime]) -> tuple[int, ...]:
    """Return times as a row keeps them."""
    return tuple(map(to_ms, moments))


def to_headline(item: Mapping[str, Any]) -> DeploymentSummary:
    """Return what a list tells of the deployment of an item, which may be projected to ``HEADLINE``."""
    row = from_item(item)
    return DeploymentSummary(
        id=row["id"],
        target=row["pk"],
        revision=row["revision"],
        state=DeploymentState(row["state"]),
        requested_by=row["requested_by"],
        reason=row["reason"],
        created_at=from_ms(row["created_at"]),
        changed_at=from_ms(row["changed_at"]),
        code=row.get("code"),
        message=row.get("message"),
    )


def due(deployment_id: str, due_at: datetime) -> dict[str, object]:
    """Return the attributes that put a deployment into the index ``by-due``."""
    return {"due_shard": str(zlib.crc32(deployment_id.encode()) % DUE_SHARDS), "due_at": to_ms(due_at)}


def sort_key(revision: int) -> str:
    """Return a revision as text that sorts as it does."""
    return f"{revision:010d}"
