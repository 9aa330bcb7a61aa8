"""Group memberships, in the ``devices`` table: attributes of a device's row that no message changes.

``group`` is where the device belongs. While the registry has not followed yet, ``leaving`` names the
group it comes from ("-" for none), ``settling_until`` (ms) says until when one caller alone may update the
registry, and ``unsettled`` puts the row into the sparse index ``unsettled``, the longest left first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.domain.timestamps import from_ms, to_ms
from cloud.tables.dynamodb.conditional_writes import update_if

UNSETTLED, BY_GROUP = "unsettled", "by-group"
#: What a count is worth in a listing: its entries of the index are far below a page of DynamoDB's (1 MB).
COUNTED_AT_MOST = 1_000
_NOWHERE = "-"


@dataclass(frozen=True, slots=True)
class Membership:
    """The group that a device belongs to, and the state of its move.

    Until ``settling_until`` one caller updates the registry, from ``leaving`` (None: from no group);
    it is None once that is done.
    """

    device: str
    group: str | None
    leaving: str | None = None
    settling_until: datetime | None = None


class Memberships:
    """Raises ``cloud.aws.errors`` when DynamoDB does not answer; a refused write is an answer."""

    def __init__(self, table: Any, name: str) -> None:
        self._table = table
        self._name = name

    def get(self, device: str) -> Membership | None:
        """Return where a device belongs, strongly consistent; None when it was never enrolled."""
        with translated():
            answer = self._table.get_item(
                TableName=self._name,
                Key=to_item({"device": device}),
                ConsistentRead=True,
                ProjectionExpression="device, #group, leaving, settling_until",
                ExpressionAttributeNames={"#group": "group"},
            )
        return _membership(answer["Item"]) if "Item" in answer else None

    def move(self, before: Membership, group: str | None, until: datetime) -> Membership | None:
        """Have a settled device belong to ``group``; None when it is not as ``before`` says any more.

        From then on it is unsettled, until ``settle`` says that the registry has followed.
        """
        values: dict[str, object] = {
            ":leaving": before.group or _NOWHERE,
            ":until": to_ms(until),
            ":yes": "yes",
        }
        condition = "attribute_exists(device) AND attribute_not_exists(leaving) AND "
        if before.group is None:
            condition += "attribute_not_exists(#group)"
        else:
            condition += "#group = :before"
            values[":before"] = before.group
        change = "SET leaving = :leaving, settling_until = :until, unsettled = :yes"
        if group is None:
            change += " REMOVE #group"
        else:
            change += ", #group = :group"
            values[":group"] = group
        return self._update(before.device, change, condition, values, {"#group": "group"})

    def take_up(self, left: Membership, until: datetime) -> Membership | None:
        """Claim an unsettled device (``left``) until then; None when another caller was first."""
        change, condition = "SET settling_until = :until", "settling_until = :left"
        return self._update(left.device, change, condition, {":until": to_ms(until), ":left": _ms(left)})

    def settle(self, membership: Membership) -> bool:
        """Store that the registry is up to date; False when another caller took the device up meanwhile."""
        change, condition = "REMOVE leaving, settling_until, unsettled", "settling_until = :until"
        return self._update(membership.device, change, condition, {":until": _ms(membership)}) is not None

    def unsettled(self, now: datetime, at_most: int) -> list[str]:
        """Return devices that were left unsettled, the longest first."""
        with translated():
            answer = self._table.query(
                TableName=self._name,
                IndexName=UNSETTLED,
                KeyConditionExpression="unsettled = :yes AND settling_until <= :now",
                ExpressionAttributeValues=to_item({":yes": "yes", ":now": to_ms(now)}),
                Limit=at_most,
            )
        return [from_item(item)["device"] for item in answer["Items"]]

    def count(self, group: str) -> tuple[int, bool]:
        """Return how many devices belong to ``group`` and whether that is all of them: one call.

        A larger group has ``COUNTED_AT_MOST`` and more.
        """
        with translated():
            page = self._table.query(
                TableName=self._name,
                IndexName=BY_GROUP,
                KeyConditionExpression="#group = :group",
                ExpressionAttributeNames={"#group": "group"},
                ExpressionAttributeValues=to_item({":group": group}),
                Select="COUNT",
                Limit=COUNTED_AT_MOST + 1,
            )
        count = int(page["Count"])
        return min(count, COUNTED_AT_MOST), count <= COUNTED_AT_MOST and "LastEvaluatedKey" not in page

    def _update(
        self,
        device: str,
        change: str,
        condition: str,
        values: Mapping[str, object],
        names: Mapping[str, str] | None = None,
    ) -> Membership | None:
        key = {"device": device}
        item = update_if(
            self._table, self._name, key, change, condition=condition, values=values, names=names
        )
        return None if item is None else _membership(item)


def _membership(item: Mapping[str, Any]) -> Membership:
    row = from_item(item)
    leaving, until = row.get("leaving"), row.get("settling_until")
    return Membership(
        row["device"],
        row.get("group"),
        leaving=None if leaving == _NOWHERE else leaving,
        settling_until=None if until is None else from_ms(until),
    )


def _ms(membership: Membership) -> int:
    assert membership.settling_until is not None  # noqa: S101 - what is settled is not brought anywhere
    return to_ms(membership.settling_until)
