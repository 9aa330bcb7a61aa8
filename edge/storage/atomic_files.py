"""Atomic files: after a kill -9 a reader finds the old bytes or the new."""

import contextlib
import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, durably: temporary file, fsync, rename, fsync of the folder.

    One writer per path: the temporary name is fixed, so that a crash leaves at most one behind,
    which the next write replaces.

    Raises:
        OSError: ``path`` holds what it held; or, where only the last fsync of the folder failed, the new
            bytes, which a power cut may take back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def read(path: Path) -> bytes | None:
    """Return what was last written to ``path``; None when nothing was.

    Raises:
        OSError: there is something, and it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
