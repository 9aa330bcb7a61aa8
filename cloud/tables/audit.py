"""The ``audit`` table: append only, one chain a day.

Keys ``day``, ``sequence``; the day's head is at sequence 0. An entry and the new head are written in one
transaction, on the condition that the head is as it was read, so no two entries have the same sequence.
"""

import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.aws.errors import Conflict, Unavailable
from cloud.domain.audit_chain import Event, Head, link
from cloud.tables.dynamodb.conditional_writes import put
from cloud.tables.dynamodb.queries import item_at, pages

_TRIES = 40  # of all writers of one instant, one gets its place in each round
_WAIT_S, _WAIT_MAX_S = 0.01, 0.2


class Audit:
    """What was done and refused. Raises ``cloud.aws.errors`` when the table cannot be asked."""

    def __init__(self, table: Any, name: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._table = table
        self._name = name
        self._sleep = sleep

    def append(self, event: Event) -> dict[str, Any]:
        """Put ``event`` at the end of its day's chain and return the entry.

        Raises:
            Unavailable: others were quicker again and again; nothing was written.
        """
        for attempt in range(_TRIES):
            head = self.head(event.day)
            entry = link(event, head)
            try:
                self._write(entry, head)
            except Conflict:
                pass
            except Unavailable:  # two transactions met, or the outcome is unknown
                if self._holds(entry):
                    return entry
            else:
                return entry
            longest_s = min(_WAIT_S * 2**attempt, _WAIT_MAX_S)
            self._sleep(random.uniform(0, longest_s))  # noqa: S311 - no secret
        raise Unavailable(f"the audit of {event.day} is contended")

    def head(self, day: str) -> Head:
        """Return the day's last link; an empty day's is ``Head()``."""
        row = self._row(day, 0)
        return Head() if row is None else Head(row["count"], row["hash"])

    def entries(self, day: str, *, after: int = 0, at_most: int | None = None) -> Iterator[dict[str, Any]]:
        """Give the day's entries with a sequence above ``after``, oldest first."""
        return self._query(day, "#sequence > :bound", max(after, 0), forward=True, at_most=at_most)

    def newest(self, day: str, *, before: int, at_most: int) -> Iterator[dict[str, Any]]:
        """Give the day's entries with a sequence below ``before``, newest first."""
        return self._query(
            day, "#sequence BETWEEN :one AND :bound", before - 1, forward=False, at_most=at_most
        )

    def _holds(self, entry: dict[str, Any]) -> bool:
        row = self._row(entry["day"], entry["sequence"])
        return row is not None and bool(row["hash"] == entry["hash"])

    def _row(self, day: str, sequence: int) -> dict[str, Any] | None:
        item = item_at(self._table, self._name, {"day": day, "sequence": sequence})
        return None if item is None else from_item(item)

    def _query(
        self, day: str, condition: str, bound: int, *, forward: bool, at_most: int | None
    ) -> Iterator[dict[str, Any]]:
        values: dict[str, object] = {":day": day, ":bound": bound}
        if ":one" in condition:
            values[":one"] = 1
            if bound < 1:
                return
        found = pages(
            self._table,
            TableName=self._name,
            KeyConditionExpression=f"#day = :day AND {condition}",
            ExpressionAttributeNames={"#day": "day", "#sequence": "sequence"},
            ExpressionAttributeValues=to_item(values),
            ScanIndexForward=forward,
            ConsistentRead=True,
            **({} if at_most is None else {"Limit": at_most}),
        )
        yield from islice((from_item(item) for page in found for item in page["Items"]), at_most)

    def _write(self, entry: dict[str, Any], head: Head) -> None:
        key = {"day": entry["day"], "sequence": 0}
        if head.count == 0:
            condition, values = "attribute_not_exists(#day)", {}
        else:
            condition, values = "#count = :before", {":before": head.count}
        with translated():
            self._table.transact_write_items(
                TransactItems=[
                    put(self._name, entry, condition="attribute_not_exists(#day)", names={"#day": "day"}),
                    {
                        "Update": {
                            "TableName": self._name,
                            "Key": to_item(key),
                            "UpdateExpression": "SET #count = :count, #hash = :hash",
                            "ConditionExpression": condition,
                            "ExpressionAttributeNames": {"#count": "count", "#hash": "hash"}
                            | ({"#day": "day"} if head.count == 0 else {}),
                            "ExpressionAttributeValues": to_item(
                                {":count": entry["sequence"], ":hash": entry["hash"], **values}
                            ),
                        }
                    },
                ]
            )
