"""JSON records in a folder: read at start, kept in memory, each change on the disk before it is told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from edge.storage.atomic_files import write_atomically

Record = dict[str, Any]


class Records:
    """A mapping from key to record. Not thread-safe: the API's one lock guards it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, Record] = {
            unquote(file.stem): json.loads(file.read_bytes()) for file in sorted(folder.glob("*.json"))
        }

    def get(self, key: str) -> Record | None:
        """Return the record of ``key``; None when there is none."""
        return self._records.get(key)

    def put(self, key: str, record: Record) -> None:
        """Keep ``record`` under ``key``; it is on the disk when this returns."""
        write_atomically(self._file(key), json.dumps(record, indent=1).encode())
        self._records[key] = record

    def remove(self, key: str) -> None:
        """Forget ``key``; nothing happens when it is not there."""
        self._records.pop(key, None)
        self._file(key).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[Record]:
        """Yield all records, in no particular order."""
        return iter(list(self._records.values()))

    def _file(self, key: str) -> Path:
        return self._folder / f"{quote(key, safe='')}.json"
