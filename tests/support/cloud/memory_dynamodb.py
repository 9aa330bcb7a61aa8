"""DynamoDB without its weight: the calls that our tables make, over dictionaries, a hundred times faster.

``Twin`` makes every call on two clients and refuses to go on when they answer differently.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from tests.support.cloud.dynamodb_expressions import Item, Scope, changed, comparable, holds
from tests.support.cloud.template import template

Key = tuple[Any, ...]
_ANSWERS = ("Item", "Items", "Attributes", "Responses", "LastEvaluatedKey")


@dataclass
class _Table:
    keys: tuple[str, ...]  # partition, and sort where there is one
    indexes: Mapping[str, tuple[tuple[str, ...], tuple[str, ...] | None]]  # keys, and beside: None for all
    rows: dict[Key, Item] = field(default_factory=dict)

    def key(self, item: Item) -> Key:
        return tuple(comparable(item[name]) for name in self.keys)


class MemoryDynamoDB:
    """As boto3's client: same arguments, same answers, same errors for a condition that does not hold."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}

    def create_table(
        self,
        *,
        TableName: str,
        KeySchema: Iterable[Any],
        GlobalSecondaryIndexes: Iterable[Any] = (),
        **rest: object,
    ) -> None:
        indexes = {
            each["IndexName"]: (_names(each["KeySchema"]), _beside(each["Projection"]))
            for each in GlobalSecondaryIndexes
        }
        self._tables[TableName] = _Table(_names(KeySchema), indexes)

    def delete_table(self, *, TableName: str) -> None:
        del self._tables[TableName]

    def scan(self, *, TableName: str) -> dict[str, Any]:
        return {"Items": self.rows(TableName)}

    def rows(self, table: str) -> list[Item]:
        """Return every item, in no order."""
        return list(self._table(table, "Scan").rows.values())

    def get_item(
        self, *, TableName: str, Key: Item, ConsistentRead: bool = False, **projection: Any
    ) -> dict[str, Any]:
        table = self._table(TableName, "GetItem")
        found = table.rows.get(table.key(Key))
        return {} if found is None else {"Item": _projected(found, projection)}

    def put_item(self, *, TableName: str, Item: Item, **condition: Any) -> dict[str, Any]:
        self._write("PutItem", {"Put": {"TableName": TableName, "Item": Item, **condition}})
        return {}

    def update_item(self, *, ReturnValues: str = "NONE", **request: Any) -> dict[str, Any]:
        old, new = self._write("UpdateItem", {"Update": request})
        return {"NONE": {}, "ALL_NEW": {"Attributes": new}, "ALL_OLD": {"Attributes": old}}[ReturnValues]

    def delete_item(self, **request: Any) -> dict[str, Any]:
        self._write("DeleteItem", {"Delete": request})
        return {}

    def transact_write_items(self, *, TransactItems: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        items = list(TransactItems)
        _at_most_100("TransactWriteItems", items)
        for request in (request for item in items for request in item.values()):
            self._table(request["TableName"], "TransactWriteItems")
        reasons = [{"Code": "None"} if self._allowed(item) else self._refused(item) for item in items]
        if any(reason["Code"] != "None" for reason in reasons):
            answer: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise ClientError(answer, "TransactWriteItems")
        for item in items:
            self._write("TransactWriteItems", item)
        return {}

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, list[Item]] = {}
        _at_most_100("BatchGetItem", [key for wanted in RequestItems.values() for key in wanted["Keys"]])
        for name, wanted in RequestItems.items():
            rows = [self.get_item(TableName=name, Key=key).get("Item") for key in wanted["Keys"]]
            found[name] = [_projected(row, wanted) for row in rows if row is not None]
        return {"Responses": found, "UnprocessedKeys": {}}

    def query(
        self,
        *,
        TableName: str,
        KeyConditionExpression: str,
        IndexName: str | None = None,
        ScanIndexForward: bool = True,
        ExclusiveStartKey: Item | None = None,
        Limit: int | None = None,
        FilterExpression: str | None = None,
        ConsistentRead: bool = False,
        Select: str | None = None,
        **rest: Any,
    ) -> dict[str, Any]:
        table = self._table(TableName, "Query")
        keys, beside = table.indexes[IndexName] if IndexName else (table.keys, None)
        kept = dict.fromkeys((*keys, *table.keys))

        def place(item: Item) -> Key:
            return tuple(comparable(item[name]) for name in kept)

        found = [
            row
            for row in table.rows.values()
            if all(name in row for name in keys) and holds(KeyConditionExpression, _scope(row, rest))
        ]
        found.sort(key=place, reverse=not ScanIndexForward)
        if ExclusiveStartKey is not None:
            start = place(ExclusiveStartKey)
            found = [row for row in found if (place(row) > start if ScanIndexForward else place(row) < start)]
        answer: dict[str, Any] = {}
        if Limit is not None and len(found) > Limit:
            found = found[:Limit]
            answer["LastEvaluatedKey"] = {name: found[-1][name] for name in kept}
        if beside is not None:
            found = [{name: row[name] for name in (*kept, *beside) if name in row} for row in found]
        found = [row for row in found if holds(FilterExpression, _scope(row, rest))]
        items = {} if Select == "COUNT" else {"Items": [_projected(row, rest) for row in found]}
        return answer | items | {"Count": len(found)}

    def _write(self, operation: str, item: Mapping[str, Any]) -> tuple[Item, Item]:
        """Do one write; return the item before and after."""
        ((kind, request),) = item.items()
        table, key, old = self._of(kind, request)
        if not self._allowed(item):
            answer: Any = {"Error": {"Code": "ConditionalCheckFailedException"}}
            if request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and old is not None:
                answer["Item"] = old
            raise ClientError(answer, operation)
        new: Item = {}
        if kind == "Put":
            new = request["Item"]
        elif kind == "Update":
            before = request["Key"] if old is None else old
            new = changed(request["UpdateExpression"], _scope(before, request))
        elif kind == "ConditionCheck":
            new = old or {}
        if new:
            table.rows[key] = new
        else:
            table.rows.pop(key, None)
        return old or {}, new

    def _refused(self, item: Mapping[str, Any]) -> dict[str, Any]:
        ((kind, request),) = item.items()
        _, _, old = self._of(kind, request)
        shown = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and old is not None
        return {"Code": "ConditionalCheckFailed", **({"Item": old} if shown else {})}

    def _allowed(self, item: Mapping[str, Any]) -> bool:
        ((kind, request),) = item.items()
        _, _, old = self._of(kind, request)
        return holds(request.get("ConditionExpression"), _scope(old or {}, request))

    def _table(self, name: str, operation: str) -> _Table:
        if name not in self._tables:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": name}}, operation)
        return self._tables[name]

    def _of(self, kind: str, request: Mapping[str, Any]) -> tuple[_Table, Key, Item | None]:
        table = self._table(request["TableName"], f"{kind}Item")
        key = table.key(request["Item" if kind == "Put" else "Key"])
        return table, key, table.rows.get(key)


class Twin:
    """Two clients as one: what both answer, or an AssertionError that names the call."""

    def __init__(self, one: Any, other: Any) -> None:
        self._one, self._other = one, other

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            answers = [_outcome(client, operation, request) for client in (self._one, self._other)]
            assert answers[0][0] == answers[1][0], (operation, request, answers)
            if isinstance(answers[0][1], ClientError):
                raise answers[0][1]
            return answers[0][1]

        return call


def _outcome(client: Any, operation: str, request: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return an answer in a form to compare, and as it is."""
    try:
        answer = getattr(client, operation)(**request)
    except ClientError as error:
        said = error.response
        item = {name: comparable(value) for name, value in said.get("Item", {}).items()}  # type: ignore[attr-defined]
        reasons = [
            (reason["Code"], _comparable(reason.get("Item", {})))
            for reason in said.get("CancellationReasons", [])
        ]
        return (said["Error"]["Code"], item, reasons), error
    return {name: _comparable(answer[name]) for name in _ANSWERS if answer and answer.get(name)}, answer


def _comparable(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_comparable(each) for each in answer]
    is_item = all(isinstance(value, Mapping) and len(value) == 1 for value in answer.values())
    return {name: comparable(value) if is_item else _comparable(value) for name, value in answer.items()}


def table_of(resource: str, number: int = 0) -> dict[str, Any]:
    """Return CreateTable's arguments for a table of the template."""
    described = template()["Resources"][resource]["Properties"]
    wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    named = {"TableName": f"{resource}-of-{number}"}
    return named | {name: described[name] for name in wanted if name in described}


def _at_most_100(operation: str, asked: Sequence[object]) -> None:
    """Refuse what DynamoDB does (developer guide, "Service quotas")."""
    if len(asked) > 100:
        raise ClientError({"Error": {"Code": "ValidationException"}}, operation)


def _names(schema: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    by_type = {each["KeyType"]: each["AttributeName"] for each in schema}
    return tuple(by_type[kind] for kind in ("HASH", "RANGE") if kind in by_type)


def _beside(projection: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return what an index holds beside its keys; None for everything."""
    if projection["ProjectionType"] == "ALL":
        return None
    return tuple(projection.get("NonKeyAttributes", ()))


def _scope(item: Item, request: Mapping[str, Any]) -> Scope:
    return Scope(
        item, request.get("ExpressionAttributeNames") or {}, request.get("ExpressionAttributeValues") or {}
    )


def _projected(item: Item, request: Mapping[str, Any]) -> Item:
    expression = request.get("ProjectionExpression")
    if expression is None:
        return item
    spelt = request.get("ExpressionAttributeNames") or {}
    wanted = [spelt.get(name.strip(), name.strip()) for name in expression.split(",")]
    return {name: item[name] for name in wanted if name in item}
