"""The ``history`` table: one point per device and span of time; reports write it, its TTL deletes it.

Keys: ``device``, ``at`` (the span's start, Unix milliseconds). ``Devices.apply`` writes, together with the
device's row.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.domain.devices.device_history import POINTS_MAX
from cloud.domain.timestamps import to_ms


class History:
    """The points of all devices. Raises ``cloud.aws.errors.CloudError`` when DynamoDB does not answer."""

    def __init__(self, table: Any, name: str) -> None:
        self._table = table
        self._name = name

    def points(self, device: str, begin: datetime, end: datetime) -> list[Mapping[str, Any]]:
        """Return the points of the spans that start from ``begin`` to ``end``, the oldest first.

        One call; at most ``POINTS_MAX``, which is all that are kept.
        """
        with translated():
            answer = self._table.query(
                TableName=self._name,
                KeyConditionExpression="device = :device AND #at BETWEEN :begin AND :end",
                ExpressionAttributeNames={"#at": "at"},
                ExpressionAttributeValues=to_item(
                    {":device": device, ":begin": to_ms(begin), ":end": to_ms(end)}
                ),
                Limit=POINTS_MAX,
            )
        return [from_item(item) for item in answer["Items"]]
