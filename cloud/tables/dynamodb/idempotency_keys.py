"""Idempotency-Keys as rows: what each was used for, for a day from its first use.

DynamoDB's TTL deletes a row up to days after its ``delete_at``: an expired row counts as not there, for reads
and for conditional writes alike. ``Keys`` is for operations that keep no row of what they made:
rows of the ``commands`` table with ``device`` = ``key#{sha256}``, ``id`` = ``key``.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cloud.aws.attributes import from_item
from cloud.aws.errors import Unavailable
from cloud.domain.idempotency import KEPT_S, Idempotency, KeyReused
from cloud.tables.dynamodb.conditional_writes import put, put_if
from cloud.tables.dynamodb.queries import item_at

_FREE = "attribute_not_exists(fingerprint) OR delete_at <= :now"


def partition(idempotency: Idempotency) -> str:
    """Return where a key's row is; no thing can have that name."""
    return f"key#{idempotency.key}"


def key_of(idempotency: Idempotency) -> dict[str, str]:
    """Return the key of an Idempotency-Key's row in the ``commands`` table."""
    return {"device": partition(idempotency), "id": "key"}


def put_key(
    name: str, key: Mapping[str, object], idempotency: Idempotency, now: datetime, **made: object
) -> dict[str, Any]:
    """Return the put, for a transaction, of what the key made; refused while the key is in use."""
    row = {**key, **made, **_stands_for(idempotency, now)}
    return put(name, row, condition=_FREE, values={":now": int(now.timestamp())})


def live_record(
    item: Mapping[str, Any] | None, idempotency: Idempotency, now: datetime
) -> Mapping[str, Any] | None:
    """Return the row of a key's item; None where there is none or its day is over.

    Raises:
        KeyReused: it stands for a different request.
    """
    row = None if item is None else from_item(item)
    if row is None or row["delete_at"] <= int(now.timestamp()):
        return None
    if row["fingerprint"] != idempotency.fingerprint:
        raise KeyReused
    return row


def _stands_for(idempotency: Idempotency, now: datetime) -> dict[str, object]:
    return {"fingerprint": idempotency.fingerprint, "delete_at": int(now.timestamp()) + KEPT_S}


class Keys:
    """Raises ``cloud.aws.errors`` when DynamoDB does not answer."""

    def __init__(self, table: Any, name: str) -> None:
        self._table = table
        self._name = name

    def claim(self, idempotency: Idempotency, now: datetime) -> str:
        """Store the key for this request, and return this claim's name; a repeat gets the same one.

        Raises:
            KeyReused: it stands for a different one.
        """
        key = key_of(idempotency)
        claim = _stands_for(idempotency, now)
        values = {":now": int(now.timestamp())}
        if not put_if(self._table, self._name, {**key, **claim}, condition=_FREE, values=values):
            existing = live_record(item_at(self._table, self._name, key), idempotency, now)
            if existing is None:
                raise Unavailable("the key was set free at the same moment")
            claim = dict(existing)
        return f"{idempotency.key}:{claim['delete_at']}"
