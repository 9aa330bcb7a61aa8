"""Reads that all tables share: one row by its key, and a query page by page.

Both raise ``cloud.aws.errors.CloudError`` when DynamoDB does not answer.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from cloud.aws.attributes import to_item
from cloud.aws.clients import translated


def item_at(table: Any, name: str, key: Mapping[str, object]) -> Mapping[str, Any] | None:
    """Return the item, strongly consistent; None where there is none."""
    with translated():
        answer = table.get_item(TableName=name, Key=to_item(key), ConsistentRead=True)
    item: Mapping[str, Any] | None = answer.get("Item")
    return item


def pages(table: Any, **query: Any) -> Iterator[Mapping[str, Any]]:
    """Give boto3's answers to ``query`` to the last page, each asked for when it is wanted."""
    start: dict[str, Any] = {}
    while True:
        with translated():
            page = table.query(**query, **start)
        yield page
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
