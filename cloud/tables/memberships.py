"""Who is in which group, in the ``devices`` table: attributes of a device's row that no message touches.

``group`` is where the device belongs. While the registry has not followed yet, ``leaving`` names the
group it comes from ("-" for none) and ``unsettled`` puts the row into the sparse index ``unsettled``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.tables.conditional import update_if

UNSETTLED, BY_GROUP = "unsettled", "by-group"
_NOWHERE = "-"


@dataclass(frozen=True, slots=True)
class Membership:
    """Where a device belongs; ``moving``: the registry may still have it in ``leaving`` (None: in none)."""

    device: str
    group: str | None
    moving: bool = False
    leaving: str | None = None


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
                ProjectionExpression="device, #group, leaving",
                ExpressionAttributeNames={"#group": "group"},
            )
        return _membership(answer["Item"]) if "Item" in answer else None

    def move(self, before: Membership, group: str | None) -> bool:
        """Have a settled device belong to ``group``; False when it is not as ``before`` says any more.

        From then on it is unsettled, until ``settle`` says that the registry has followed.
        """
        values: dict[str, object] = {":leaving": before.group or _NOWHERE, ":yes": "yes"}
        condition = "attribute_exists(device) AND attribute_not_exists(leaving) AND "
        if before.group is None:
            condition += "attribute_not_exists(#group)"
        else:
            condition += "#group = :before"
            values[":before"] = before.group
        change = "SET leaving = :leaving, unsettled = :yes"
        if group is None:
            change += " REMOVE #group"
        else:
            change += ", #group = :group"
            values[":group"] = group
        key, names = {"device": before.device}, {"#group": "group"}
        moved = update_if(
            self._table, self._name, key, change, condition=condition, values=values, names=names
        )
        return moved is not None

    def settle(self, membership: Membership) -> bool:
        """Say that the registry has followed; False when it was said already, or the device moved on."""
        settled = update_if(
            self._table,
            self._name,
            {"device": membership.device},
            "REMOVE leaving, unsettled",
            condition="leaving = :leaving",
            values={":leaving": membership.leaving or _NOWHERE},
        )
        return settled is not None

    def unsettled(self, at_most: int) -> list[str]:
        """Return devices whose registry entry has not followed yet."""
        with translated():
            answer = self._table.query(
                TableName=self._name,
                IndexName=UNSETTLED,
                KeyConditionExpression="unsettled = :yes",
                ExpressionAttributeValues=to_item({":yes": "yes"}),
                Limit=at_most,
            )
        return [from_item(item)["device"] for item in answer["Items"]]

    def count(self, group: str) -> int:
        """Return how many devices belong to ``group``."""
        total = 0
        start: dict[str, Any] = {}
        while True:
            with translated():
                answer = self._table.query(
                    TableName=self._name,
                    IndexName=BY_GROUP,
                    KeyConditionExpression="#group = :group",
                    ExpressionAttributeNames={"#group": "group"},
                    ExpressionAttributeValues=to_item({":group": group}),
                    Select="COUNT",
                    **start,
                )
            total += int(answer["Count"])
            if "LastEvaluatedKey" not in answer:
                return total
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _membership(item: Mapping[str, Any]) -> Membership:
    row = from_item(item)
    leaving = row.get("leaving")
    return Membership(
        row["device"],
        row.get("group"),
        moving=leaving is not None,
        leaving=None if leaving in (None, _NOWHERE) else leaving,
    )
