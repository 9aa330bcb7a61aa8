"""The bundle's .tar.gz: never larger than asked for, the oldest lines left out first."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.bundles.tail import Tail

SMALLEST_SHARE_BYTES = 256  # of each log; what does not fit without logs does not fit at all
MANIFEST = "manifest.json"

BundleFacts = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Log:
    """One file of the bundle."""

    name: str
    tail: Tail
    code: str | None = None  # why it is not whole, or not there


class TooLarge(Exception):
    """Even without any line the archive is larger than its bound."""

    code = "bundle-too-large"


def pack(path: Path, facts: BundleFacts, logs: Sequence[Log], *, share_bytes: int, max_bytes: int) -> bool:
    """Write the archive, ``facts`` and a list of its files in its manifest; return whether it is truncated.

    Each log may take ``share_bytes``, uncompressed, and less until the whole is within ``max_bytes``.

    Raises:
        TooLarge: it cannot be.
        OSError: the disk did not take it.
    """
    while True:
        is_truncated = _write(path, facts, logs, share_bytes)
        size = path.stat().st_size
        if size <= max_bytes:
            return is_truncated
        if share_bytes <= SMALLEST_SHARE_BYTES:
            raise TooLarge(f"{size} bytes with next to nothing in it, and {max_bytes} are allowed")
        share_bytes = max(SMALLEST_SHARE_BYTES, min(share_bytes // 2, share_bytes * max_bytes // size))


def _write(path: Path, facts: BundleFacts, logs: Sequence[Log], share_bytes: int) -> bool:
    listed: list[dict[str, object]] = []
    with tarfile.open(path, "w:gz") as archive:
        for log in logs:
            file, size, is_cut = log.tail.open_last(share_bytes)
            with file:
                entry = tarfile.TarInfo(log.name)
                entry.size = size
                archive.addfile(entry, file)
            listed.append({"name": log.name, "bytes": size, "truncated": is_cut, "code": log.code})
        truncated = any(each["truncated"] for each in listed)
        manifest = json.dumps({**facts, "files": listed, "truncated": truncated}, indent=1).encode()
        entry = tarfile.TarInfo(MANIFEST)
        entry.size = len(manifest)
        archive.addfile(entry, io.BytesIO(manifest))
    return truncated
