"""The agent's files in its folder, each whole at every moment, and what to do with a broken one."""

import logging
from collections.abc import Callable
from pathlib import Path

from edge.ports.state import StateUnreadable, StateUnwritable
from edge.storage.atomic_files import read, write_atomically

log = logging.getLogger(__name__)


class StateFolder:
    """``State`` in a folder."""

    def __init__(self, folder: Path, write: Callable[[Path, bytes], None] = write_atomically) -> None:
        self._folder, self._write = folder, write

    def read(self, name: str) -> bytes | None:
        try:
            return read(self._folder / name)
        except OSError as error:
            raise StateUnreadable(f"{name}: {error.strerror or error}") from error

    def write(self, name: str, content: bytes) -> None:
        try:
            self._write(self._folder / name, content)
        except OSError as error:
            raise StateUnwritable(f"{name}: {error.strerror or error}") from error

    def set_aside(self, name: str, reason: str) -> None:
        path, aside = self._folder / name, self._folder / f"{name}.unreadable"
        try:
            try:
                content = self.read(name)
            except StateUnreadable:
                path.replace(aside)
            else:
                if content is not None:
                    self.write(aside.name, content)
        except (StateUnwritable, OSError) as error:
            log.error("unusable state file cannot be kept: file=%s error=%s", name, error)
        log.error("state file is unusable: file=%s kept_as=%s reason=%s", name, aside.name, reason)
