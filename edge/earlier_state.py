"""The state that an agent before 0.2.0 left in its work folder, copied once into the folder of ours.

The work folder belongs to the component user: nothing in it is followed, executed or trusted to be small.
What is copied is what that version wrote, and it is read as strictly as anything else. The files stay where
they are, so that a rollback to that version finds its own.

Not copied: the sequence, so that a new epoch begins. A device that is rolled back goes on in the epoch of
before, which counts as the later one again; numbers of one epoch would have been used up meanwhile.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from edge.storage import write_atomically

FILES = (
    "desired.json",
    "commands.json",
    "outbox.json",
    "applications.json",
    "images.json",
    "rotations.json",
    "agent.log.1",
    "agent.log",
)
TAKEN = "earlier-state-taken"
MAX_BYTES = 32 << 20  # of each file; the largest are a few

log = logging.getLogger(__name__)


def take_over(earlier: Path, state: Path) -> None:
    """Copy what ``earlier`` has and ``state`` has not, once for ever; a kill in between begins again.

    Called with no agent running, since what one of before still wrote afterwards would be lost. What cannot
    be read is said and left; what cannot be written is tried at the next start.
    """
    if (state / TAKEN).exists():
        return
    try:
        for name, content in _files(earlier):
            if not (state / name).exists():
                write_atomically(state / name, content)
                log.info("state of an earlier version taken over: file=%s bytes=%d", name, len(content))
        write_atomically(state / TAKEN, b"")
    except OSError as error:
        log.error("state of an earlier version is not taken over yet: error=%s", error)


def _files(earlier: Path) -> Iterator[tuple[str, bytes]]:
    try:
        folder = os.open(earlier, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        for name in FILES:
            try:
                content = _read(name, folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.error("state of an earlier version is left: file=%s error=%s", name, error.strerror)
                continue
            yield name, content
    finally:
        os.close(folder)


def _read(name: str, folder: int) -> bytes:
    """Return a regular file's content.

    Raises:
        OSError: there is none, it is a link or no file, or it is too large.
    """
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(0, "too large")
    return content
