"""Writes that hold only under a condition. A refused one is an answer, and never raised.

Both raise ``cloud.aws.errors.CloudError`` when DynamoDB does not answer.
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
    """Put ``row`` in place of whatever has its key; return False where that was refused."""
    given: dict[str, Any] = {"ExpressionAttributeValues": to_item(values)} if values else {}
    if names:
        given["ExpressionAttributeNames"] = dict(names)
    try:
        with translated():
            table.put_item(TableName=name, Item=to_item(row), ConditionExpression=condition, **given)
    except Conflict:
        return False
    return True
