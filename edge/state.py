"""The agent's files in its work folder, each whole at every moment, and what to do with a broken one."""

import logging
from pathlib import Path
from typing import Protocol

from edge.storage import read, write_atomically

log = logging.getLogger(__name__)


class StateUnreadable(Exception):
    """There is a file, and the disk does not give it."""

    code = "state-unreadable"


class StateUnwritable(Exception):
    """The disk did not take a file: full, read-only or broken. What was there before is still there."""

    code = "state-unwritable"


class State(Protocol):
    """Named files that survive a kill at any moment."""

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None when there is none.

        Raises:
            StateUnreadable: there is one, and it cannot be read.
        """

    def write(self, name: str, content: bytes) -> None:
        """Replace a file, durably before it returns.

        Raises:
            StateUnwritable: it still holds what it held.
        """

    def set_aside(self, name: str, reason: str) -> None:
        """Keep a file that makes no sense under another name for a person to look at, and log it.

        A file that can be read stays in place as well: whoever owns it writes a new one over it, and
        a kill in between finds the broken one again rather than none.
        """


class StateFolder:
    """``State`` in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        try:
            return read(self._folder / name)
        except OSError as error:
            raise StateUnreadable(f"{name}: {error.strerror or error}") from error

    def write(self, name: str, content: bytes) -> None:
        try:
            write_atomically(self._folder / name, content)
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
