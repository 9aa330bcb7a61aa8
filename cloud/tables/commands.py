"""The ``commands`` table: one row per command, under its device; rows vanish a month after they expired.

Keys: ``device`` (the thing), ``id`` (sortable by time). Sparse indexes: ``by-due`` (``due_shard``,
``due_at``), and ``by-waiting`` (``waiting`` = the device, ``id``) of the commands that a device has not
answered yet, and that are sent again.
A row under ``key#{sha256}`` remembers which command an Idempotency-Key made.
Every write that can race is conditional; one that is refused is an answer.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from math import ceil
from typing import Any

from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.aws.errors import Conflict, Unavailable
from cloud.defaults import INFER_EXPIRED_AFTER_S
from cloud.domain.commands import command_ledger
from cloud.domain.commands.command import Command
from cloud.domain.commands.command_ledger import Inferred
from cloud.domain.idempotency import Idempotency
from cloud.domain.timestamps import to_ms
from cloud.tables.dynamodb.conditional_writes import put, update_if
from cloud.tables.dynamodb.idempotency_keys import key_of, live_record, put_key
from cloud.tables.dynamodb.queries import item_at, pages
from cloud.tables.rows.command_rows import DUE_SHARDS, shard, to_command, to_row, transition
from cloud.telemetry.logs import log_event
from cloud.telemetry.metrics import Metric, count
from contract.commands import CommandResult, CommandState
from contract.defaults import COMMAND_EXPIRY_MAX_S
from contract.names import identifier

BY_DUE, BY_WAITING = "by-due", "by-waiting"
log = logging.getLogger(__name__)

_COUNTED = {"no-proof": Metric.COMMANDS_NO_PROOF, "no-answer": Metric.COMMANDS_NO_ANSWER}
_RACES = 8  # writers of one command's row: the device's results, and the sweep
_SWEEP_PAGE = 100
_WAITING_MAX = 20


class Commands:
    """The ledger. Raises ``cloud.aws.errors`` when the table cannot be asked."""

    def __init__(self, table: Any, name: str) -> None:
        self._table = table
        self._name = name

    def create(self, command: Command, idempotency: Idempotency | None = None) -> Command:
        """Store a new command and return it; with a key that was used before, the one it made then.

        Raises:
            KeyReused: the key was used with a different request.
        """
        puts = [put(self._name, to_row(command), condition="attribute_not_exists(id)")]
        if idempotency is not None:
            made = {"command_device": command.device, "command_id": command.id}
            puts.append(put_key(self._name, key_of(idempotency), idempotency, command.issued_at, **made))
        try:
            with translated():
                self._table.transact_write_items(TransactItems=puts)
        except Conflict:
            earlier = (
                self.by_idempotency_key(idempotency, command.issued_at) if idempotency is not None else None
            )
            if earlier is None:
                raise
            return earlier
        return command

    def by_idempotency_key(self, idempotency: Idempotency, now: datetime) -> Command | None:
        """Return the command that this key made within its day.

        Raises:
            KeyReused: it was made by a different request.
        """
        row = live_record(item_at(self._table, self._name, key_of(idempotency)), idempotency, now)
        return None if row is None else self.get(row["command_device"], row["command_id"])

    def get(self, device: str, command_id: str) -> Command | None:
        """Return one command of ``device``."""
        item = self._item(device, command_id)
        return None if item is None else to_command(item)

    def apply_result(self, device: str, result: CommandResult, received_at: datetime) -> Command | None:
        """Store the device's result if it is a step forward, and return the command as it is then.

        It replaces what the cloud had inferred. None for an unknown command and for a repeated result, where
        nothing changes, and for a result that a later one overtook, which is only added to the history.
        """
        earlier = command_ledger.earlier_than(result.state)
        if not earlier:
            return None
        step = transition(result.state, received_at, by="device", code=result.code, device_time=result.at)
        values: dict[str, object] = {
            ":state": result.state.value,
            ":changed_at": to_ms(received_at),
            ":result": result.to_dict(),
            ":transition": [step],
            **{f":earlier{i}": state.value for i, state in enumerate(earlier)},
        }
        change = (
            "SET #state = :state, changed_at = :changed_at, #result = :result,"
            " transitions = list_append(transitions, :transition)"
        )
        if result.state is CommandState.DELIVERED:  # again: the sweep may have inferred EXPIRED before
            values |= {":shard": shard(result.id), ":after": round(INFER_EXPIRED_AFTER_S * 1000)}
            change += ", due_shard = :shard, due_at = expires_at + :after"
        elif result.state is CommandState.IN_PROGRESS:
            due = command_ledger.due_at(result.state, expires_at=received_at, changed_at=received_at)
            assert due is not None  # noqa: S101 - the ledger's promise for a state that is not final
            values |= {":shard": shard(result.id), ":due_at": to_ms(due)}
            change += ", due_shard = :shard, due_at = :due_at"
        change += " REMOVE inferred, proof, waiting" + (", due_shard, due_at" if result.state.final else "")
        allowed = ", ".join(f":earlier{i}" for i in range(len(earlier)))
        moved = self._update(
            device,
            result.id,
            change,
            condition=f"attribute_exists(id) AND #state IN ({allowed})",
            names={"#state": "state", "#result": "result"},
            values=values,
        )
        if moved is None and not result.state.final:
            self._fill_in(device, result.id, step)
        return None if moved is None else to_command(moved)

    def _fill_in(self, device: str, command_id: str, step: Mapping[str, Any]) -> None:
        """Insert a late result into the history: the queue does not keep the order."""
        for _ in range(_RACES):
            item = self._item(device, command_id)
            known = [] if item is None else from_item(item)["transitions"]
            if item is None or any((e["by"], e["state"]) == ("device", step["state"]) for e in known):
                return
            filled = sorted([*known, step], key=lambda each: (each["at"], command_ledger.rank(each["state"])))
            if self._update(
                device,
                command_id,
                "SET transitions = :filled",
                condition="transitions = :known",
                values={":filled": filled, ":known": known},
                names={},
            ):
                return
        raise Unavailable("others write the command's history all the time")

    def conclude(self, command: Command, inferred: Inferred) -> bool:
        """Store what the cloud inferred, unless the device has answered or an inference is there."""
        stored = self._update(
            command.device,
            command.id,
            "SET inferred = :inferred, transitions = list_append(transitions, :transition)"
            " REMOVE due_shard, due_at, waiting",
            condition="#state = :state AND attribute_not_exists(inferred)",
            names={"#state": "state"},
            values={
                ":inferred": {"state": inferred.state.value, "code": inferred.code, "at": to_ms(inferred.at)},
                ":transition": [transition(inferred.state, inferred.at, by="cloud", code=inferred.code)],
                ":state": command.state.value,
            },
        )
        if stored is None:
            return False
        log_event(log, "command concluded", device=command.device, command=command.id, code=inferred.code)
        if inferred.code in _COUNTED:
            count(_COUNTED[inferred.code])
        return True

    def withdraw(self, command: Command, now: datetime, *, code: str) -> bool:
        """Remove the inferred state of an unanswered command; False when it has changed meanwhile."""
        again = ", waiting = :device" if command.sent_again else ""
        stored = self._update(
            command.device,
            command.id,
            "SET due_shard = :shard, due_at = :due_at, transitions = list_append(transitions, :transition)"
            f"{again} REMOVE inferred",
            condition="#state = :pending AND inferred.#code = :code",
            names={"#state": "state", "#code": "code"},
            values={
                ":pending": CommandState.PENDING.value,
                ":code": code,
                **({":device": command.device} if again else {}),
                ":shard": shard(command.id),
                ":due_at": to_ms(command.next_look(now)),
                ":transition": [transition(command.state, now, by="cloud")],
            },
        )
        return stored is not None

    def waiting(self, device: str) -> list[Command]:
        """Return the commands that ``device`` has not answered yet; oldest first.

        One query of an index that is empty for most devices. A newer reboot takes the place of an older
        one, so that there is hardly ever more than one.
        """
        with translated():
            page = self._table.query(
                TableName=self._name,
                IndexName=BY_WAITING,
                KeyConditionExpression="waiting = :device",
                ExpressionAttributeValues=to_item({":device": device}),
                Limit=_WAITING_MAX,
            )
        return [to_command(item) for item in page["Items"]]

    def look_again(self, command: Command, at: datetime, *, unmoved: bool = False) -> bool:
        """Let the sweep look at a waiting command again at ``at``; False where it waits no more.

        With ``unmoved``, False too where that time has changed since ``command`` was read.
        """
        assert command.due_at is not None  # noqa: S101 - what waits is due at some time
        stored = self._update(
            command.device,
            command.id,
            "SET due_at = :at",
            condition="attribute_exists(waiting)" + (" AND due_at = :seen" if unmoved else ""),
            values={":at": to_ms(at), **({":seen": to_ms(command.due_at)} if unmoved else {})},
        )
        return stored is not None

    def page(self, device: str, *, before: str | None, limit: int) -> tuple[list[Command], bool]:
        """Return ``limit`` commands at most, the newest first, older than ``before``; and if more follow."""
        older = {} if before is None else {":before": before}
        with translated():
            page = self._table.query(
                TableName=self._name,
                KeyConditionExpression="device = :device" + (" AND id < :before" if older else ""),
                ExpressionAttributeValues=to_item({":device": device, **older}),
                ScanIndexForward=False,
                Limit=limit,
            )
        return [to_command(item) for item in page["Items"]], "LastEvaluatedKey" in page

    def supersede(self, reboot: Command) -> bool:
        """Conclude SUPERSEDED for all but the newest of a device's reboots that have not started.

        Return whether ``reboot`` is the newest: of two that were stored at the same moment, the later one
        sees the other, whichever is older. Looks as far back as a command may wait.
        """
        oldest = to_ms(reboot.issued_at) - round(COMMAND_EXPIRY_MAX_S * 1000)
        found = pages(
            self._table,
            TableName=self._name,
            KeyConditionExpression="device = :device AND id >= :oldest",
            FilterExpression="kind = :reboot AND #state IN (:pending, :delivered)"
            " AND attribute_not_exists(inferred)",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues=to_item(
                {
                    ":device": reboot.device,
                    ":oldest": identifier("cmd", unix_ms=oldest, random80=0),
                    ":reboot": "reboot",
                    ":pending": CommandState.PENDING.value,
                    ":delivered": CommandState.DELIVERED.value,
                }
            ),
            ConsistentRead=True,
        )
        others = [to_command(item) for page in found for item in page["Items"]]
        newest = max([reboot, *others], key=lambda command: command.id)
        inferred = Inferred(CommandState.SUPERSEDED, "newer-reboot", newest.issued_at)
        for older in others:
            if older.id < newest.id:
                self.conclude(older, inferred)
        return newest.id == reboot.id

    def infer_due(
        self, now: datetime, *, waits: Callable[[Command], object] | None = None, at_most: int = 1000
    ) -> int:
        """Store what silence means for the commands that are due by ``now``; return how many were concluded.

        One of which it says nothing yet waits for its device, and is given to ``waits``.
        Looks at ``at_most`` of each shard, the longest due first: a sweep has a minute, and another follows.
        """
        concluded = 0
        for number in range(DUE_SHARDS):
            found = pages(
                self._table,
                TableName=self._name,
                IndexName=BY_DUE,
                KeyConditionExpression="due_shard = :shard AND due_at <= :now",
                ExpressionAttributeValues=to_item({":shard": str(number), ":now": to_ms(now)}),
                Limit=_SWEEP_PAGE,
            )
            looked_at = islice(found, ceil(at_most / _SWEEP_PAGE))
            for command in (to_command(item) for page in looked_at for item in page["Items"]):
                inferred = command.conclusion(now)
                if inferred is not None:
                    concluded += self.conclude(command, inferred)
                elif waits is not None:
                    waits(command)
        return concluded

    def _item(self, device: str, command_id: str) -> Mapping[str, Any] | None:
        return item_at(self._table, self._name, {"device": device, "id": command_id})

    def _update(
        self,
        device: str,
        command_id: str,
        change: str,
        *,
        condition: str,
        values: Mapping[str, object],
        names: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any] | None:
        key = {"device": device, "id": command_id}
        return update_if(
            self._table, self._name, key, change, condition=condition, values=values, names=names
        )
