"""The ``devices`` table: one row per enrolled device, written only under conditions.

Keys: ``device`` (the thing's name). Indexes, all of keys only that no heartbeat changes: ``by-name``
(``kind`` = "device", ``device``) lists all devices in order of name; ``by-group`` (``group``, ``device``)
lists one group's; those by folded name, agent version, connection status (``standing``) and index key
(``filed_under``) are described in ``device_index``. Index keys that a device has several of are in rows of
their own. Times are Unix milliseconds of the server.

A message is applied in one call while it tells nothing new (the write's condition compares it with
what is stored), else in two: the refused write returns the row, ``devices.device_reducer`` decides, and the
second write holds only if nobody applied another message in between. The first report in a span of the
history is such a change; its point is in the second write, as are the index keys added and removed. A
presence event is one call. A reboot that began is noted in the row, so that, while it is not proven, only a
message of another boot takes the second way, and one of the same boot some minutes after it began.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.aws.errors import Conflict, Unavailable
from cloud.domain.devices import device_reducer
from cloud.domain.devices.device import Device
from cloud.domain.devices.device_history import point_of
from cloud.domain.devices.device_index import folded, index_keys, index_row, partition
from cloud.domain.devices.device_messages import DeviceMessage
from cloud.domain.devices.presence import Presence
from cloud.domain.timestamps import to_ms
from cloud.tables.dynamodb.conditional_writes import put, put_if, update_if
from cloud.tables.dynamodb.queries import item_at
from cloud.tables.rows.device_rows import (
    SUMMARY,
    Write,
    confirmation,
    presence_write,
    reboot_began,
    replacement,
    to_device,
)

BY_GROUP = "by-group"
PAGE_MAX = 100  # BatchGetItem takes no more keys
_AT_ONCE = 100  # TransactWriteItems takes no more
_RACES = 8  # writers of one device's row: its own messages, a handful at a time


class Effect(StrEnum):
    """The effect of a message on its device's row."""

    UNCHANGED = "unchanged"  # newer, and it says what was known; or it is the time that moved on
    CHANGED = "changed"
    OLD = "old"  # something newer was known already
    NOT_ENROLLED = "not-enrolled"  # there is no such device, and none is made


@dataclass(frozen=True, slots=True)
class Applied:
    """The effect of a message; ``device`` is the row after it (None for UNCHANGED and NOT_ENROLLED)."""

    effect: Effect
    device: Device | None = None


class Devices:
    """The devices that were enrolled, and what became of them.

    Every method raises ``cloud.aws.errors.CloudError`` when DynamoDB does not answer; a refused
    conditional write is an answer and never raised.
    """

    def __init__(self, table: Any, name: str, history: str = "") -> None:
        """``history`` names the table of points, for one that applies reports."""
        self._table = table
        self._name = name
        self._history = history

    def create(self, device: str, group: str, *, now: datetime) -> bool:
        """Make the row of a newly enrolled device; return False where there is one already."""
        row = {
            "device": device,
            "kind": "device",
            "folded_name": folded(device),
            "group": group,
            "enrolled_at": to_ms(now),
            "standing": partition("never", device),
            "standing_since": to_ms(now),
            "writes": 0,
        }
        return put_if(self._table, self._name, row, condition="attribute_not_exists(device)")

    def get(self, device: str) -> Device | None:
        """Return the device, strongly consistent; None when it was never enrolled."""
        item = item_at(self._table, self._name, {"device": device})
        return None if item is None else to_device(item)

    def in_group(self, group: str) -> list[Device]:
        """Return every device of ``group`` in order of name, applications included."""
        names = self.names_in_group(group)
        found: dict[str, Device] = {}
        for start in range(0, len(names), PAGE_MAX):
            found |= self._rows(names[start : start + PAGE_MAX], None)
        return [found[name] for name in names if name in found]

    def names_in_group(self, group: str) -> list[str]:
        """Return the name of every device of ``group``, in order; reads the index and no row."""
        names: list[str] = []
        more = True
        while more:
            page, more = self._names(group, after=names[-1] if names else None, limit=PAGE_MAX)
            names += page
        return names

    def names_after(self, cursor: str | None, limit: int, group: str) -> tuple[list[str], bool]:
        """Return at most ``limit`` (1 to 100) names of ``group`` after ``cursor``, whether more follow."""
        return self._names(group, after=cursor, limit=min(limit, PAGE_MAX))

    def named(self, names: Sequence[str], *, whole: bool = False) -> Mapping[str, Device]:
        """Return those of at most 100 devices that are enrolled, by name; if ``whole``, with applications."""
        return self._rows(names, None if whole else SUMMARY)

    def record_presence(self, presence: Presence) -> bool:
        """Store a presence event if it counts; return whether it did. One call.

        The condition is ``device_reducer.supersedes``, said to DynamoDB. A client that was never
        enrolled gets no row.
        """
        return self._write(presence.device, presence_write(presence)) is None

    def apply(self, news: DeviceMessage) -> Applied:
        """Apply a hello, goodbye or part of a report: one call when nothing changed, else two.

        Raises:
            Unavailable: others wrote to the row again and again; nothing was changed.
        """
        item = self._write(news.device, confirmation(news))
        if item is None:
            return Applied(Effect.UNCHANGED)
        for _ in range(_RACES):
            if not item:
                return Applied(Effect.NOT_ENROLLED)
            before = to_device(item)
            after = device_reducer.after(before, news)
            if after is before:
                return Applied(Effect.OLD, before)
            item = self._replace(before, after)
            if item is None:
                return Applied(Effect.CHANGED, replace(after, writes=before.writes + 1))
        raise Unavailable(f"the row of {news.device} is contended")

    def begin_reboot(self, device: str, command: str, boot_id: str, at: datetime) -> Device | None:
        """Note that ``device`` began to reboot, so that its next boot is noticed; return its row after it.

        None where it is not enrolled, and where this command's reboot, or a later one's, is noted already.
        """
        write = reboot_began(command, boot_id, at)
        row = update_if(
            self._table, self._name, {"device": device}, write.change,
            condition=f"attribute_exists(device) AND {write.condition}", values=write.values,
        )  # fmt: skip
        return None if row is None else to_device(row)

    def end_reboot(self, device: str, command: str) -> None:
        """Notice no boot for ``command`` any more."""
        update_if(
            self._table, self._name, {"device": device},
            "REMOVE rebooting, rebooting_known, rebooting_heard",
            condition="rebooting.command = :command", values={":command": command},
        )  # fmt: skip

    def _replace(self, before: Device, after: Device) -> Mapping[str, Any] | None:
        """Write the device's new row; with it the history's next point, and the device's index keys.

        All or nothing, and answers as ``_write``. A device is found under every key that it has, wherever
        this is interrupted: keys beyond one transaction are added before it, and removed after it.
        """
        write = replacement(before, after)
        filings = self._filings(before, after)
        if after.history_at == before.history_at and not filings:
            return self._write(after.name, write)
        items: list[Any] = [{"Update": self._request(after.name, write)}]
        if after.history_at != before.history_at:
            items.append(put(self._history, point_of(after)))
        room = _AT_ONCE - len(items)
        within, beyond = filings[:room], filings[room:]
        for item in beyond:
            if "Update" in item:
                self._transact([item])
        refused = self._transact(items + within)
        for item in beyond:
            if "Delete" in item and refused is None:
                self._transact([item])
        return refused

    def _filings(self, before: Device, after: Device) -> list[Any]:
        """Return the writes of the device's index rows, additions first."""
        was, now = index_keys(before), index_keys(after)
        added = [index_row(key, after.name) for key in sorted(now - was)]
        removed = [index_row(key, after.name) for key in sorted(was - now)]
        return [
            {
                "Update": {
                    "TableName": self._name,
                    "Key": to_item({"device": row["device"]}),
                    "UpdateExpression": "SET filed_under = :key, filed = :device",
                    "ExpressionAttributeValues": to_item(
                        {":key": row["filed_under"], ":device": row["filed"]}
                    ),
                }
            }
            for row in added
        ] + [
            {"Delete": {"TableName": self._name, "Key": to_item({"device": row["device"]})}}
            for row in removed
        ]

    def _transact(self, items: list[Any]) -> Mapping[str, Any] | None:
        """Write all or nothing; answers as ``_write``, of the first item."""
        try:
            with translated():
                self._table.transact_write_items(TransactItems=items)
        except Conflict as refused:
            reasons = getattr(refused.__cause__, "response", {}).get("CancellationReasons", [{}])
            item: Mapping[str, Any] = reasons[0].get("Item", {})
            return item
        return None

    def _write(self, device: str, write: Write) -> Mapping[str, Any] | None:
        """Update; where the condition does not hold, return the row as it is ({} when there is none)."""
        try:
            with translated():
                self._table.update_item(**self._request(device, write))
        except Conflict as refused:
            item: Mapping[str, Any] = getattr(refused.__cause__, "response", {}).get("Item", {})
            return item
        return None

    def _request(self, device: str, write: Write) -> dict[str, Any]:
        names: dict[str, Any] = {"ExpressionAttributeNames": dict(write.names)} if write.names else {}
        return {
            "TableName": self._name,
            "Key": to_item({"device": device}),
            "UpdateExpression": write.change,
            "ConditionExpression": f"attribute_exists(device) AND {write.condition}",
            "ExpressionAttributeValues": to_item(write.values),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **names,
        }

    def _names(self, group: str, *, after: str | None, limit: int) -> tuple[list[str], bool]:
        """Return a group's names in order, and whether there are more."""
        values: dict[str, object] = {":group": group}
        condition = "#group = :group"
        if after is not None:
            condition += " AND device > :after"
            values[":after"] = after
        with translated():
            answer = self._table.query(
                TableName=self._name,
                IndexName=BY_GROUP,
                KeyConditionExpression=condition,
                ExpressionAttributeNames={"#group": "group"},
                ExpressionAttributeValues=to_item(values),
                ProjectionExpression="device",
                Limit=limit + 1,
            )
        names = [from_item(item)["device"] for item in answer["Items"]]
        return names[:limit], len(names) > limit

    def _rows(self, names: Sequence[str], attributes: Iterable[str] | None) -> dict[str, Device]:
        """Return the devices by name; at most 100, read again where DynamoDB left some out."""
        keys: list[Any] = [to_item({"device": name}) for name in names]
        projection: dict[str, Any] = {}
        if attributes is not None:
            spelt = {f"#{i}": attribute for i, attribute in enumerate(attributes)}
            projection = {"ProjectionExpression": ", ".join(spelt), "ExpressionAttributeNames": spelt}
        found: dict[str, Device] = {}
        for _ in range(_RACES):
            if not keys:
                return found
            with translated():
                answer = self._table.batch_get_item(RequestItems={self._name: {"Keys": keys, **projection}})
            found |= {d.name: d for d in map(to_device, answer["Responses"].get(self._name, []))}
            keys = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
        raise Unavailable("BatchGetItem left rows out again and again")
