"""Pages of devices: which index a list is read from, and the merge of the parts that it has.

A page costs one query for each stream (one, or the shards of the connection statuses asked for) and one read
of at most ``PAGE_MAX`` rows, however many devices there are. An index entry may be out of date, so the caller
checks the row itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.domain.devices.device import Device
from cloud.domain.devices.device_filter import DeviceFilter
from cloud.domain.devices.device_index import application_key, folded, image_key, index_row, partitions
from cloud.domain.timestamps import to_ms
from cloud.tables.devices import BY_GROUP, PAGE_MAX, Devices

#: The last entry that was looked at: a device, with the time (Unix milliseconds) where that is the order.
Position = str | tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class Page:
    """Devices in order; ``after`` is where the next page begins, None on the last one."""

    devices: tuple[Device, ...]
    after: tuple[Position, ...] | None


@dataclass(frozen=True, slots=True)
class Stream:
    """One partition of an index, in the order of its range key."""

    index: str
    key: str
    value: str
    order: str = "device"
    prefix: str | None = None  # of the range key
    later_than: int | None = None  # the range key, in Unix milliseconds

    def fits(self, position: Position) -> bool:
        """Return whether ``position`` can be one within this stream."""
        if position is None:
            return True
        if isinstance(position, str):
            return self.order != "standing_since" and folded(position).startswith(self.prefix or "")
        return self.order == "standing_since"

    def start(self, position: Position) -> dict[str, Any]:
        """Return what makes a query begin after ``position``."""
        if position is None:
            return {}
        row: dict[str, object]
        if isinstance(position, tuple):
            since, device = position
            if self.later_than is not None and since <= self.later_than:
                return {}  # time went on: what comes next is all later
            row = {self.key: self.value, "standing_since": since, "device": device}
        elif self.index == "by-filing":
            row = index_row(self.value, position)
        else:
            row = {self.key: self.value, "device": position}
            if self.order == "folded_name":
                row["folded_name"] = folded(position)
        return {"ExclusiveStartKey": to_item(row)}


def streams(wanted: DeviceFilter, *, by_since: bool, debounced_since: datetime) -> tuple[Stream, ...]:
    """Return the streams that hold every device that is ``wanted``; one filter drives, the others narrow.

    ``debounced_since``: who disconnected later is still what it was.
    """
    if by_since:
        bound = to_ms(debounced_since) if wanted.state in ("online", "stale") else None
        return tuple(
            Stream(
                "by-standing-since", "standing", each, "standing_since",
                later_than=bound if each.startswith("disconnected") else None,
            )
            for each in partitions(wanted.state)
        )  # fmt: skip
    match wanted:
        case DeviceFilter(group=str(group)):
            return (Stream(BY_GROUP, "group", group),)
        case DeviceFilter(prefix=str(prefix)):
            return (Stream("by-folded-name", "kind", "device", "folded_name", prefix=prefix.lower()),)
        case DeviceFilter(image=str(digest)):
            return (Stream("by-filing", "filed_under", image_key(digest), "filed"),)
        case DeviceFilter(application=str(name)):
            return (Stream("by-filing", "filed_under", application_key(name), "filed"),)
        case DeviceFilter(agent_version=str(version)):
            return (Stream("by-agent-version", "agent_version", version),)
        case DeviceFilter(state=None):
            return (Stream("by-name", "kind", "device"),)
        case _:
            return tuple(Stream("by-standing", "standing", each) for each in partitions(wanted.state))


class DeviceLists:
    """Raises ``cloud.aws.errors.CloudError`` when DynamoDB does not answer."""

    def __init__(self, table: Any, name: str) -> None:
        self._table = table
        self._name = name
        self._devices = Devices(table, name)

    def page(
        self,
        parts: Sequence[Stream],
        after: Sequence[Position],
        *,
        limit: int,
        reads: int,
        inside: bool,
        takes: Callable[[Device], bool],
    ) -> Page:
        """Return at most ``limit`` devices that ``takes`` takes, of the next ``reads`` (1 to 100) of all.

        ``after`` has a position for each of ``parts``. With ``inside`` the devices have their applications.
        """
        reads = min(reads, PAGE_MAX)
        entries = [
            entry
            for number, (part, position) in enumerate(zip(parts, after, strict=True))
            for entry in self._entries(part, position, reads + 1, number)
        ]
        entries.sort()
        rows = dict(self._devices.named([device for _, device, _ in entries[:reads]], whole=inside))
        positions, taken, looked = list(after), list[Device](), 0
        for order, device, number in entries[:reads]:
            looked += 1
            positions[number] = (order, device) if isinstance(order, int) else device
            row = rows.pop(device, None)  # one that moved from part to part is in both for a moment
            if row is not None and takes(row):
                taken.append(row)
                if len(taken) == limit:
                    break
        return Page(tuple(taken), tuple(positions) if looked < len(entries) else None)

    def is_enrolled_in(self, group: str) -> bool:
        """Return whether any device is in ``group``."""
        names, _ = self._devices.names_after(None, 1, group)
        return bool(names)

    def _entries(self, part: Stream, after: Position, limit: int, number: int) -> list[tuple[Any, str, int]]:
        """Return (range key, device, ``number``) of the next ``limit`` entries after a position."""
        values: dict[str, object] = {":key": part.value}
        names, condition = {"#key": part.key}, "#key = :key"
        if part.prefix is not None:
            condition += " AND begins_with(#order, :from)"
            values[":from"] = part.prefix
        elif part.later_than is not None:
            condition += " AND #order > :from"
            values[":from"] = part.later_than
        if ":from" in values:
            names["#order"] = part.order
        with translated():
            answer = self._table.query(
                TableName=self._name,
                IndexName=part.index,
                KeyConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=to_item(values),
                Limit=limit,
                **part.start(after),
            )
        rows = map(from_item, answer["Items"])
        return [(row[part.order], row.get("filed", row["device"]), number) for row in rows]
