"""Conditional writes. A refused one is an answer, and never raised.

They raise ``cloud.aws.errors.CloudError`` when DynamoDB does not answer.
"""

from collections.abc import Mapping
from typing import Any

from cloud.aws.attributes import to_item
from cloud.aws.clients import translated
from cloud.aws.errors import Conflict


def update_if(
    table: Any,
    name: str,
    key: Mapping[str, object],
    change: str,
    *,
    condition: str,
    values: Mapping[str, object],
    names: Mapping[str, str] | None = None,
) -> Mapping[str, Any] | None:
    """Make ``change`` to the row at ``key``; return the whole item after it, None where it was refused.

    ``values`` are JSON types, by their ``:placeholder``; ``names`` are attributes, by their ``#placeholder``.
    """
    named = {"ExpressionAttributeNames": dict(names)} if names else {}
    try:
        with translated():
            answer = table.update_item(
                TableName=name,
                Key=to_item(key),
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues=to_item(values),
                ReturnValues="ALL_NEW",
                **named,
            )
    except Conflict:
        return None
    item: Mapping[str, Any] = answer["Attributes"]
    return item


def put_if(
    table: Any,
    name: str,
    row: Mapping[str, object],
    *,
    condition: str,
    values: Mapping[str, object] | None = None,
    names: Mapping[str, str] | None = None,
) -> bool:
    """Put ``row`` in place of any row with its key; return False where that was refused."""
    try:
        with translated():
            table.put_item(**put(name, row, condition=condition, values=values, names=names)["Put"])
    except Conflict:
        return False
    return True


def put(
    name: str,
    row: Mapping[str, object],
    *,
    condition: str | None = None,
    values: Mapping[str, object] | None = None,
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a put as a transaction takes it, which as a whole is refused with it."""
    request: dict[str, Any] = {"TableName": name, "Item": to_item(row)}
    if condition is not None:
        request["ConditionExpression"] = condition
    if values:
        request["ExpressionAttributeValues"] = to_item(values)
    if names:
        request["ExpressionAttributeNames"] = dict(names)
    return {"Put": request}
