"""The ``commands`` table: one row per command, under its device; rows vanish a month after they expired.

Keys: ``device`` (the thing), ``id`` (sortable by time). Sparse index ``by-due``: ``due_shard``,
``due_at``. A row under ``key#{sha256}`` remembers which command an Idempotency-Key made.
Every write that can race is conditional; one that is refused is an answer.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cloud import ledger
from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.aws.errors import Conflict
from cloud.idempotency import KEPT_S, Idempotency, KeyReused
from cloud.ledger import Inferred
from cloud.milliseconds import from_ms, to_ms
from contract.commands import CommandResult, CommandState, RebootCommand

KEPT_AFTER_EXPIRY = timedelta(days=30)
DUE_SHARDS = 4
BY_DUE = "by-due"
_SWEEP_PAGE = 100
_UNFINISHED_LOOKED_AT = 20  # newest first; a device that has more unanswered ones is not listening


@dataclass(frozen=True, slots=True)
class Command:
    """One ledger entry. ``state`` is the device's own word; ``inferred`` is ours until it speaks again."""

    device: str
    id: str
    kind: str
    issued_at: datetime
    expires_at: datetime
    requested_by: str
    reason: str
    force: bool
    state: CommandState
    changed_at: datetime
    warnings: tuple[str, ...] = ()
    inferred: Inferred | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    transitions: Sequence[Mapping[str, Any]] = ()

    def conclusion(self, now: datetime) -> Inferred | None:
        """Return what the cloud concludes by ``now``, stored or not; None while the device's word stands."""
        return self.inferred or ledger.infer(
            self.state, expires_at=self.expires_at, changed_at=self.changed_at, now=now
        )


class Commands:
    """The ledger. Raises ``cloud.aws.errors`` when the table cannot be asked."""

    def __init__(self, table: Any, name: str) -> None:
        self._table = table
        self._name = name

    def create(
        self,
        device: str,
        command: RebootCommand,
        *,
        warnings: tuple[str, ...] = (),
        idempotency: Idempotency | None = None,
    ) -> Command:
        """Store a PENDING reboot and return it; with a key that was used before, the command it made then.

        Raises:
            KeyReused: the key was used with a different request.
        """
        entry = Command(
            device=device,
            id=command.id,
            kind="reboot",
            issued_at=command.issued_at,
            expires_at=command.expires_at,
            requested_by=command.requested_by,
            reason=command.reason,
            force=command.force,
            state=CommandState.PENDING,
            changed_at=command.issued_at,
            warnings=warnings,
        )
        rows = [_row(entry)]
        if idempotency is not None:
            rows.append(_key_row(idempotency, entry))
        puts = [
            {
                "Put": {
                    "TableName": self._name,
                    "Item": to_item(row),
                    "ConditionExpression": "attribute_not_exists(id)",
                }
            }
            for row in rows
        ]
        try:
            with translated():
                self._table.transact_write_items(TransactItems=puts)
        except Conflict:
            earlier = self.made_by(idempotency) if idempotency is not None else None
            if earlier is None:
                raise
            return earlier
        return entry

    def made_by(self, idempotency: Idempotency) -> Command | None:
        """Return the command that this key made before.

        Raises:
            KeyReused: it was made by a different request.
        """
        row = self._get(f"key#{idempotency.key}", "key")
        if row is None:
            return None
        if row["fingerprint"] != idempotency.fingerprint:
            raise KeyReused
        return self.get(row["command_device"], row["command_id"])

    def get(self, device: str, command_id: str) -> Command | None:
        """Return one command of ``device``."""
        row = self._get(device, command_id)
        return None if row is None else _command(row)

    def apply_result(self, device: str, result: CommandResult, received_at: datetime) -> bool:
        """Store the device's own word if it is a step forward; it replaces what the cloud had inferred.

        False, and nothing changes, for an unknown command and for a word that was said before.
        """
        earlier = ledger.earlier_than(result.state)
        if not earlier:
            return False
        values: dict[str, object] = {
            ":state": result.state.value,
            ":changed_at": to_ms(received_at),
            ":result": result.to_dict(),
            ":transition": [_transition(result.state, received_at, at=result.at)],
            **{f":earlier{i}": state.value for i, state in enumerate(earlier)},
        }
        change = (
            "SET #state = :state, changed_at = :changed_at, #result = :result,"
            " transitions = list_append(transitions, :transition)"
        )
        if result.state is CommandState.IN_PROGRESS:
            due = ledger.due_at(result.state, expires_at=received_at, changed_at=received_at)
            assert due is not None  # noqa: S101 - the ledger's promise for a state that is not final
            values |= {":shard": _shard(result.id), ":due_at": to_ms(due)}
            change += ", due_shard = :shard, due_at = :due_at"
        change += " REMOVE inferred" + (", due_shard, due_at" if result.state.final else "")
        allowed = ", ".join(f":earlier{i}" for i in range(len(earlier)))
        return self._update(
            device,
            result.id,
            change,
            condition=f"attribute_exists(id) AND #state IN ({allowed})",
            names={"#state": "state", "#result": "result"},
            values=values,
        )

    def conclude(self, command: Command, inferred: Inferred) -> bool:
        """Store what the cloud concluded, unless the device has spoken or a conclusion is there."""
        return self._update(
            command.device,
            command.id,
            "SET inferred = :inferred REMOVE due_shard, due_at",
            condition="#state = :state AND attribute_not_exists(inferred)",
            names={"#state": "state"},
            values={
                ":inferred": {"state": inferred.state.value, "code": inferred.code, "at": to_ms(inferred.at)},
                ":state": command.state.value,
            },
        )

    def withdraw(self, command: Command, *, code: str) -> bool:
        """Take back what the cloud concluded by ``code``; False when that no longer stands."""
        due = ledger.due_at(command.state, expires_at=command.expires_at, changed_at=command.changed_at)
        assert due is not None  # noqa: S101 - a conclusion is drawn of what is not final
        return self._update(
            command.device,
            command.id,
            "SET due_shard = :shard, due_at = :due_at REMOVE inferred",
            condition="#state = :state AND inferred.#code = :code",
            names={"#state": "state", "#code": "code"},
            values={
                ":state": command.state.value,
                ":code": code,
                ":shard": _shard(command.id),
                ":due_at": to_ms(due),
            },
        )

    def supersede_before(self, newer: Command) -> int:
        """Conclude SUPERSEDED for the device's older commands that have not started; return how many."""
        with translated():
            page = self._table.query(
                TableName=self._name,
                KeyConditionExpression="device = :device AND id < :id",
                ExpressionAttributeValues=to_item({":device": newer.device, ":id": newer.id}),
                ScanIndexForward=False,
                ConsistentRead=True,
                Limit=_UNFINISHED_LOOKED_AT,
            )
        inferred = Inferred(CommandState.SUPERSEDED, "newer-reboot", newer.issued_at)
        older = [_command(from_item(item)) for item in page["Items"]]
        return sum(
            self.conclude(command, inferred)
            for command in older
            if command.state in ledger.NOT_STARTED and command.inferred is None
        )

    def infer_due(self, now: datetime, *, at_most: int = 1000) -> int:
        """Store what silence says of the commands that are due by ``now``; return how many were concluded.

        Looks at ``at_most`` of each shard, the longest due first: a sweep has a minute, and another follows.
        """
        concluded = 0
        for shard in range(DUE_SHARDS):
            start: dict[str, Any] = {}
            for _ in range(0, at_most, _SWEEP_PAGE):
                with translated():
                    page = self._table.query(
                        TableName=self._name,
                        IndexName=BY_DUE,
                        KeyConditionExpression="due_shard = :shard AND due_at <= :now",
                        ExpressionAttributeValues=to_item({":shard": str(shard), ":now": to_ms(now)}),
                        Limit=_SWEEP_PAGE,
                        **start,
                    )
                for command in (_command(from_item(item)) for item in page["Items"]):
                    inferred = command.conclusion(now)
                    concluded += inferred is not None and self.conclude(command, inferred)
                if "LastEvaluatedKey" not in page:
                    break
                start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        return concluded

    def _get(self, device: str, command_id: str) -> dict[str, Any] | None:
        with translated():
            answer = self._table.get_item(
                TableName=self._name, Key=to_item({"device": device, "id": command_id}), ConsistentRead=True
            )
        return from_item(answer["Item"]) if "Item" in answer else None

    def _update(
        self,
        device: str,
        command_id: str,
        change: str,
        *,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, object],
    ) -> bool:
        try:
            with translated():
                self._table.update_item(
                    TableName=self._name,
                    Key=to_item({"device": device, "id": command_id}),
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=to_item(values),
                )
        except Conflict:
            return False
        return True


def _row(command: Command) -> dict[str, object]:
    """Return the row of a command that was just made."""
    due = ledger.due_at(command.state, expires_at=command.expires_at, changed_at=command.changed_at)
    assert due is not None  # noqa: S101 - the ledger's promise for a state that is not final
    return {
        "device": command.device,
        "id": command.id,
        "kind": command.kind,
        "issued_at": to_ms(command.issued_at),
        "expires_at": to_ms(command.expires_at),
        "requested_by": command.requested_by,
        "reason": command.reason,
        "force": command.force,
        "warnings": command.warnings,
        "state": command.state.value,
        "changed_at": to_ms(command.changed_at),
        "result": {},
        "transitions": [_transition(command.state, command.changed_at)],
        "due_shard": _shard(command.id),
        "due_at": to_ms(due),
        "delete_at": int((command.expires_at + KEPT_AFTER_EXPIRY).timestamp()),
    }


def _key_row(idempotency: Idempotency, command: Command) -> dict[str, object]:
    return {
        "device": f"key#{idempotency.key}",
        "id": "key",
        "fingerprint": idempotency.fingerprint,
        "command_device": command.device,
        "command_id": command.id,
        "delete_at": int(command.issued_at.timestamp()) + KEPT_S,
    }


def _command(row: Mapping[str, Any]) -> Command:
    inferred = row.get("inferred")
    return Command(
        device=row["device"],
        id=row["id"],
        kind=row["kind"],
        issued_at=from_ms(row["issued_at"]),
        expires_at=from_ms(row["expires_at"]),
        requested_by=row["requested_by"],
        reason=row["reason"],
        force=row["force"],
        state=CommandState(row["state"]),
        changed_at=from_ms(row["changed_at"]),
        warnings=tuple(row["warnings"]),
        inferred=inferred
        and Inferred(CommandState(inferred["state"]), inferred["code"], from_ms(inferred["at"])),
        result=row["result"],
        transitions=tuple(
            {name: from_ms(value) if name != "state" else value for name, value in transition.items()}
            for transition in row["transitions"]
        ),
    )


def _transition(state: CommandState, received_at: datetime, at: datetime | None = None) -> dict[str, object]:
    own = {} if at is None else {"device_time": to_ms(at)}
    return {"state": state.value, "at": to_ms(received_at), **own}


def _shard(command_id: str) -> str:
    return str(zlib.crc32(command_id.encode()) % DUE_SHARDS)
