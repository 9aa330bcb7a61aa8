"""The ``deployments`` table: revisions of targets, and what became of each on every device.

Keys ``pk``, ``sk``; four kinds of rows:

=====================  ======================  ============================================
``{target}``           ``{revision:010d}``     the deployment; never deleted, so the newest is the latest
``id#{deployment}``    ``-``                   where its row is
``outcomes#{deployment}``  ``{device}``        the device's outcome, newest report wins; TTL
``key#{sha256}``       ``-``                   which deployment an Idempotency-Key made; TTL
=====================  ======================  ============================================

Sparse index ``by-due``: ``due_shard``, ``due_at``, while the row must be looked at again.
Sparse index ``by-created``: ``kind``, ``id``, of deployments alone (``cloud.tables.deployment_lists``).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.domain.deployments.deployment import Deployment, DeploymentState
from cloud.domain.deployments.deployment_outcomes import OF_JOB
from cloud.domain.deployments.lost_agents import taken_over
from cloud.domain.idempotency import Idempotency
from cloud.domain.timestamps import from_ms, to_ms
from cloud.tables.dynamodb.conditional_writes import put, put_if, update_if
from cloud.tables.dynamodb.idempotency_keys import live_record, partition, put_key
from cloud.tables.dynamodb.queries import item_at, pages
from cloud.tables.rows.deployment_rows import DUE_SHARDS, due, sort_key, to_deployment, to_moments, to_row

BY_DUE = "by-due"
OUTCOME = ("state", "application", "code", "message", "refused")  # what is told of one
_JOB = "job"  # the epoch of what no report said
OUTCOMES_KEPT = timedelta(days=400)
_NEWER = (
    "attribute_not_exists(pk) OR (epoch = :epoch AND #sequence <= :sequence)"
    " OR (epoch <> :epoch AND received_at < :received_at) OR epoch = :job"
)


class Deployments:
    """The deployments. Raises ``cloud.aws.errors`` when the table cannot be asked."""

    def __init__(self, table: Any, name: str) -> None:
        self._table = table
        self._name = name

    def create(
        self, deployment: Deployment, *, due_at: datetime, idempotency: Idempotency | None = None
    ) -> None:
        """Store a SUBMITTING deployment, if its revision is still free.

        Raises:
            Conflict: the revision exists, or the key does (``made_by`` tells which).
        """
        key = (deployment.target, sort_key(deployment.revision))
        rows: list[dict[str, object]] = [
            to_row(deployment) | due(deployment.id, due_at),
            {"pk": f"id#{deployment.id}", "sk": "-", "row": key},
        ]
        puts = [put(self._name, row, condition="attribute_not_exists(pk)") for row in rows]
        if idempotency is not None:
            where = {"pk": partition(idempotency), "sk": "-"}
            puts.append(put_key(self._name, where, idempotency, deployment.created_at, row=key))
        with translated():
            self._table.transact_write_items(TransactItems=puts)

    def get(self, deployment_id: str) -> Deployment | None:
        """Return a deployment by its id."""
        return self._referred(self._get(f"id#{deployment_id}", "-"))

    def by_idempotency_key(self, idempotency: Idempotency, now: datetime) -> Deployment | None:
        """Return the deployment that this key made within its day.

        Raises:
            KeyReused: it was made by a different request.
        """
        return self._referred(live_record(self._item(partition(idempotency), "-"), idempotency, now))

    def newest_first(self, target: str, *, before: int | None = None) -> Iterator[Deployment]:
        """Give the revisions of ``target`` from the newest on, read as they are asked for."""
        values: dict[str, object] = {
            ":target": target,
            ":before": "~" if before is None else sort_key(before),
        }
        for page in pages(
            self._table,
            TableName=self._name,
            KeyConditionExpression="pk = :target AND sk < :before",
            ExpressionAttributeValues=to_item(values),
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=4,
        ):
            yield from map(to_deployment, page["Items"])

    def activate(
        self,
        deployment: Deployment,
        *,
        greengrass_id: str,
        job_id: str | None,
        warnings: Sequence[str] = (),
        now: datetime,
        due_at: datetime,
    ) -> bool:
        """Make a SUBMITTING deployment ACTIVE; False when it no longer was SUBMITTING.

        ``warnings``, if there are any, take the place of those it was made with.
        """
        told: dict[str, object] = {"greengrass_id": greengrass_id}
        told |= {"job_id": job_id} if job_id else {}
        told |= {"warnings": tuple(warnings)} if warnings else {}
        return self._move(
            deployment, DeploymentState.ACTIVE, now, told | due(deployment.id, due_at), remove=()
        )

    def carried_by(
        self, deployment: Deployment, *, greengrass_id: str, job_id: str | None, now: datetime
    ) -> bool:
        """Store the Greengrass deployment that brings ``deployment`` to devices now.

        It is looked at again from then on, for agents that fall silent. False when its state is no longer
        what it was.
        """
        values: dict[str, object] = {"greengrass_id": greengrass_id, "job_id": job_id}
        values |= {"carried_at": to_ms(now), "watched_at": to_moments(taken_over(deployment, now))}
        values |= due(deployment.id, now)
        change = "SET " + ", ".join(f"{name} = :{name}" for name in values)
        return self._update(deployment, change, {f":{name}": each for name, each in values.items()}, {})

    def fail(self, deployment: Deployment, *, code: str, message: str, now: datetime) -> bool:
        """Make a SUBMITTING deployment FAILED; False when it no longer was SUBMITTING."""
        told = {"code": code, "message": message[:512]}
        return self._move(deployment, DeploymentState.FAILED, now, told)

    def succeed(self, deployment: Deployment, *, now: datetime) -> bool:
        """Make an ACTIVE deployment SUCCEEDED; False when it no longer was ACTIVE. It is still looked at."""
        return self._move(deployment, DeploymentState.SUCCEEDED, now, {}, remove=())

    def supersede_before(self, newer: Deployment, *, now: datetime) -> int:
        """Make the ACTIVE revisions before ``newer`` SUPERSEDED; return how many there were.

        Looks back to the first one that is neither ACTIVE nor FAILED: beyond it all was done before.
        """
        superseded = 0
        for older in self.newest_first(newer.target, before=newer.revision):
            if older.state is DeploymentState.ACTIVE:
                superseded += self._move(older, DeploymentState.SUPERSEDED, now, {})
            elif older.state is not DeploymentState.FAILED:
                break
        return superseded

    def look_again(self, deployment: Deployment, *, due_at: datetime) -> bool:
        """Have ``due`` give the deployment at ``due_at``, while its state and what is due are as read.

        So an earlier time that was set meanwhile (``carried_by``) is not overwritten.
        """
        change = "SET due_at = :due_at"
        return self._update(deployment, change, {":due_at": to_ms(due_at)}, {}, due_as_read=True)

    def look_no_more(self, deployment: Deployment) -> bool:
        """Have ``due`` not give the deployment any more; holds as ``look_again`` does."""
        return self._update(deployment, "REMOVE due_shard, due_at", {}, {}, due_as_read=True)

    def note(
        self, deployment: Deployment, *, code: str | None, message: str | None, agents_lost: int,
        watched_at: Sequence[datetime],
    ) -> bool:  # fmt: skip
        """Store the deployment's problem as a whole (None: none); conditional as ``look_again`` is."""
        names = {"#code": "code", "#message": "message"}
        values: dict[str, object] = {":agents_lost": agents_lost, ":watched_at": to_moments(watched_at)}
        change = "SET agents_lost = :agents_lost, watched_at = :watched_at"
        if code is None:
            change += " REMOVE #code, #message"
        else:
            change += ", #code = :code, #message = :message"
            values |= {":code": code, ":message": message}
        return self._update(deployment, change, values, names, due_as_read=True)

    def asked(self, deployment: Deployment, device: str) -> bool:
        """Store the member for which Greengrass was asked last, while the state is what it was."""
        return self._update(deployment, "SET asked = :asked", {":asked": device}, {})

    def due(self, now: datetime) -> Iterator[Deployment]:
        """Yield the deployments that must be looked at by ``now``."""
        for shard in range(DUE_SHARDS):
            for page in pages(
                self._table,
                TableName=self._name,
                IndexName=BY_DUE,
                KeyConditionExpression="due_shard = :shard AND due_at <= :now",
                ExpressionAttributeValues=to_item({":shard": str(shard), ":now": to_ms(now)}),
            ):
                yield from map(to_deployment, page["Items"])

    def record_outcome(
        self, deployment_id: str, device: str, outcome: Mapping[str, Any], received_at: datetime
    ) -> bool:
        """Store what a report says of a deployment on ``device``; False for an older report.

        ``outcome`` carries ``epoch`` and ``sequence`` of its report: within an epoch the higher
        sequence wins (the same one may say more, part by part), another epoch wins by its time.
        """
        row = _outcome_row(deployment_id, device, outcome, received_at)
        return put_if(
            self._table,
            self._name,
            row,
            condition=_NEWER,
            names={"#sequence": "sequence"},
            values={
                ":epoch": outcome["epoch"],
                ":sequence": outcome["sequence"],
                ":job": _JOB,
                ":received_at": row["received_at"],
            },
        )

    def record_end_of_job(
        self, deployment_id: str, device: str, outcome: Mapping[str, Any], at: datetime
    ) -> bool:
        """Store how a job ended on a device that said nothing; False where it has said something.

        Whatever it says later takes its place.
        """
        row = _outcome_row(deployment_id, device, {**outcome, "epoch": _JOB, "sequence": 0}, at)
        return put_if(self._table, self._name, row, condition="attribute_not_exists(pk)")

    def outcomes(self, deployment_id: str) -> dict[str, Mapping[str, Any]]:
        """Return each device's recorded outcome: ``OUTCOME``, ``received_at``, ``OF_JOB``."""
        found: dict[str, Mapping[str, Any]] = {}
        for page in pages(
            self._table,
            TableName=self._name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=to_item({":pk": f"outcomes#{deployment_id}"}),
            ConsistentRead=True,
        ):
            for row in map(from_item, page["Items"]):
                told = {name: row[name] for name in OUTCOME if name in row}
                if row["epoch"] == _JOB:
                    told[OF_JOB] = True
                found[row["sk"]] = told | {"received_at": from_ms(row["received_at"])}
        return found

    def _move(
        self,
        deployment: Deployment,
        state: DeploymentState,
        now: datetime,
        told: Mapping[str, object],
        remove: tuple[str, ...] = ("due_shard", "due_at"),
    ) -> bool:
        values = {"state": state.value, "changed_at": to_ms(now), **told}
        change = "SET " + ", ".join(f"#{name} = :{name}" for name in values)
        if remove:
            change += " REMOVE " + ", ".join(remove)
        return self._update(
            deployment,
            change,
            {f":{name}": value for name, value in values.items()},
            {f"#{name}": name for name in values},
        )

    def _update(
        self,
        deployment: Deployment,
        change: str,
        values: Mapping[str, object],
        names: Mapping[str, str],
        *,
        due_as_read: bool = False,
    ) -> bool:
        """Change the row while its state (and when it is due) is what ``deployment`` says; return whether."""
        condition, expected = "#state = :expected", dict[str, object](values)
        if due_as_read and deployment.due_at is None:
            condition += " AND attribute_not_exists(due_at)"
        elif due_as_read and deployment.due_at is not None:
            condition += " AND due_at = :read"
            expected[":read"] = to_ms(deployment.due_at)
        changed = update_if(
            self._table,
            self._name,
            {"pk": deployment.target, "sk": sort_key(deployment.revision)},
            change,
            condition=condition,
            values={":expected": deployment.state.value, **expected},
            names={"#state": "state", **names},
        )
        return changed is not None

    def _referred(self, row: Mapping[str, Any] | None) -> Deployment | None:
        if row is None:
            return None
        item = self._item(*row["row"])
        return None if item is None else to_deployment(item)

    def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        item = self._item(pk, sk)
        return None if item is None else from_item(item)

    def _item(self, pk: str, sk: str) -> Mapping[str, Any] | None:
        return item_at(self._table, self._name, {"pk": pk, "sk": sk})


def _outcome_row(
    deployment_id: str, device: str, outcome: Mapping[str, Any], received_at: datetime
) -> dict[str, Any]:
    return {
        **outcome,
        "pk": f"outcomes#{deployment_id}",
        "sk": device,
        "received_at": to_ms(received_at),
        "delete_at": int((received_at + OUTCOMES_KEPT).timestamp()),
    }
