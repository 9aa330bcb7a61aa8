"""Group reboots, in the ``commands`` table: a head, and one row for each device of the group.

Keys: ``device`` = ``group-reboot#{id}`` with ``id`` = ``head`` or ``member#{device}``;
``group#{group}``, ``running`` says which one runs in a group; ``key#{sha256}`` which one an
Idempotency-Key made. A head that is not done is in the sparse index ``by-due``, in a shard of its own.
Every step is one transaction, conditional on the head's version: rows of members and sums never differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.aws.errors import Conflict, Unavailable
from cloud.domain.commands.command import Command
from cloud.domain.commands.group_reboot import GroupReboot, Member
from cloud.domain.commands.group_reboot_steps import Step
from cloud.domain.idempotency import Idempotency
from cloud.domain.timestamps import to_ms
from cloud.tables.commands import BY_DUE
from cloud.tables.dynamodb.conditional_writes import put
from cloud.tables.dynamodb.idempotency_keys import key_of, live_record, put_key
from cloud.tables.dynamodb.queries import item_at, pages
from cloud.tables.rows.command_rows import to_command
from cloud.tables.rows.group_reboot_rows import (
    DUE_SHARD,
    HEAD,
    MEMBER,
    claim_key,
    claim_row,
    head_row,
    id_of,
    member_row,
    partition,
    to_member,
    to_reboot,
)

_KEYS_MAX = 100  # BatchGetItem takes no more
_TRIES = 8


class StillRunning(Exception):
    """The group has a group reboot that is not done."""

    code = "group-reboot-running"

    def __init__(self, reboot_id: str) -> None:
        super().__init__(reboot_id)
        self.id = reboot_id


@dataclass(frozen=True, slots=True)
class Page:
    """Members in order of name; ``cursor`` is None on the last page."""

    members: tuple[Member, ...]
    cursor: str | None


class GroupReboots:
    """The group reboots. Raises ``cloud.aws.errors`` when the table cannot be asked."""

    def __init__(self, table: Any, name: str) -> None:
        self._table = table
        self._name = name

    def create(self, reboot: GroupReboot, idempotency: Idempotency | None = None) -> GroupReboot:
        """Store a new one and return it; with a key that was used before, the one it made then.

        Raises:
            KeyReused: the key was used with a different request.
            StillRunning: another one of the same group is not done.
        """
        rows = [head_row(reboot, reboot.requested_at), claim_row(reboot)]
        puts = [put(self._name, row, condition="attribute_not_exists(id)") for row in rows]
        if idempotency is not None:
            now = reboot.requested_at
            puts.append(put_key(self._name, key_of(idempotency), idempotency, now, group_reboot=reboot.id))
        for _ in range(_TRIES):
            try:
                self._transact(puts)
            except Conflict:
                earlier = self.by_idempotency_key(idempotency, reboot.requested_at) if idempotency else None
                if earlier is not None:
                    return earlier
                claim = self._item(claim_key(reboot.group))
                if claim is not None:
                    raise StillRunning(from_item(claim)["group_reboot"]) from None
            else:
                return reboot
        raise Unavailable(f"the group {reboot.group} is contended")

    def by_idempotency_key(self, idempotency: Idempotency, now: datetime) -> GroupReboot | None:
        """Return the group reboot that this key made within its day.

        Raises:
            KeyReused: it was made by a different request.
        """
        row = live_record(self._item(key_of(idempotency)), idempotency, now)
        return None if row is None else self.get(row["group_reboot"])

    def get(self, reboot_id: str) -> GroupReboot | None:
        """Return the group reboot, strongly consistent."""
        item = self._item({"device": partition(reboot_id), "id": HEAD})
        return None if item is None else to_reboot(item)

    def save(self, step: Step, now: datetime) -> bool:
        """Store a step, all of it; False, and nothing changes, when another step was first."""
        reboot = step.after
        head = put(
            self._name,
            head_row(reboot, now),
            condition="version = :before",
            values={":before": reboot.version - 1},
        )
        members = [put(self._name, member_row(reboot, member)) for member in step.members]
        claim = {"Delete": {"TableName": self._name, "Key": to_item(claim_key(reboot.group))}}
        try:
            self._transact([head, *members, *([claim] if reboot.state.final else [])])
        except Conflict:
            return False
        return True

    def waiting(self, reboot: GroupReboot, limit: int) -> list[str]:
        """Return the next devices that did not have their turn, in order of name: one call."""
        after = MEMBER if reboot.walked_to is None else MEMBER + reboot.walked_to
        return [member.device for member in self._members(reboot.id, after, limit)]

    def members(self, reboot_id: str, cursor: str | None, limit: int) -> Page:
        """Return at most ``limit`` members whose names come after ``cursor``: one call."""
        found = self._members(reboot_id, MEMBER if cursor is None else MEMBER + cursor, limit + 1)
        return Page(tuple(found[:limit]), found[limit - 1].device if len(found) > limit else None)

    def commands(self, reboot: GroupReboot) -> dict[str, Command]:
        """Return the commands of the unsettled members, by device, strongly consistent."""
        keys: list[Any] = [
            to_item({"device": name, "id": member.command}) for name, member in reboot.unsettled.items()
        ]
        found: dict[str, Command] = {}
        for _ in range(_TRIES):
            if not keys:
                return found
            now, keys = keys[:_KEYS_MAX], keys[_KEYS_MAX:]
            with translated():
                answer = self._table.batch_get_item(
                    RequestItems={self._name: {"Keys": now, "ConsistentRead": True}}
                )
            found |= {c.device: c for c in map(to_command, answer["Responses"].get(self._name, []))}
            keys += answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
        raise Unavailable("BatchGetItem left rows out again and again")

    def due(self, now: datetime) -> list[str]:
        """Return the ids of those that no step moved for a minute, the longest due first."""
        found = pages(
            self._table,
            TableName=self._name,
            IndexName=BY_DUE,
            KeyConditionExpression="due_shard = :shard AND due_at <= :now",
            ExpressionAttributeValues=to_item({":shard": DUE_SHARD, ":now": to_ms(now)}),
        )
        return [id_of(item) for page in found for item in page["Items"]]

    def _members(self, reboot_id: str, after: str, limit: int) -> list[Member]:
        with translated():
            page = self._table.query(
                TableName=self._name,
                KeyConditionExpression="device = :reboot AND id > :after",  # the head comes before them all
                ExpressionAttributeValues=to_item({":reboot": partition(reboot_id), ":after": after}),
                ConsistentRead=True,
                Limit=limit,
            )
        return [to_member(item) for item in page["Items"]]

    def _item(self, key: Mapping[str, object]) -> Mapping[str, Any] | None:
        return item_at(self._table, self._name, key)

    def _transact(self, items: Sequence[Mapping[str, Any]]) -> None:
        with translated():
            self._table.transact_write_items(TransactItems=items)
