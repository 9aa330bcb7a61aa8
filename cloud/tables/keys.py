"""What Idempotency-Keys were used for where the operation itself cannot tell: rows of the ``commands`` table.

Keys: ``device`` = ``key#{sha256}``, ``id`` = ``key``; they vanish after a day.
"""

from datetime import datetime
from typing import Any

from cloud.idempotency import KEPT_S, Idempotency, KeyReused
from cloud.tables.conditional import put_if


class Keys:
    """Raises ``cloud.aws.errors`` when DynamoDB does not answer."""

    def __init__(self, table: Any, name: str) -> None:
        self._table = table
        self._name = name

    def claim(self, idempotency: Idempotency, now: datetime) -> None:
        """Have the key stand for this request; the same request may claim it again.

        Raises:
            KeyReused: it stands for a different one.
        """
        row = {
            "device": f"key#{idempotency.key}",
            "id": "key",
            "fingerprint": idempotency.fingerprint,
            "delete_at": int(now.timestamp()) + KEPT_S,
        }
        condition = "attribute_not_exists(id) OR fingerprint = :fingerprint"
        values = {":fingerprint": idempotency.fingerprint}
        if not put_if(self._table, self._name, row, condition=condition, values=values):
            raise KeyReused
