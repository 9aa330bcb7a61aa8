"""Migration of the state that agent 0.1.0 left in its work folder, copied once into our own folder.

The work folder belongs to the component user: no link in it is followed, no file is executed or assumed to be
small. Only files that 0.1.0 wrote are copied, and they are read as strictly as any other. They stay where
they are, so that a rollback to 0.1.0 finds them. Two of them would be out of date then:

- its ledger does not know the commands done since. It is marked as lost: 0.1.0 then refuses commands issued
  before its start, and does nothing twice;
- its desired document is removed once another is in force: without one, 0.1.0 touches nothing until it has
  fetched one.

After such a rollback the same is true of our own two files, and they are treated the same.

The sequence is not copied, so that a new epoch begins. After a rollback the device goes on in the old epoch,
which then counts as the later one again; in a shared epoch its sequence numbers would have been used already.
"""

import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from edge.commands.rules.ledger import Ledger
from edge.storage.atomic_files import read, write_atomically

LEDGER, DOCUMENT = "commands.json", "desired.json"
FILES = (
    LEDGER,  # first, while the disk takes something
    DOCUMENT,
    "outbox.json",
    "applications.json",
    "images.json",
    "rotations.json",
    "agent.log.1",
    "agent.log",
)
TAKEN = "earlier-state-taken"
LEFT = "earlier-ledger-left"  # as lost: if it is otherwise now, version 0.1.0 was back
LOST = Ledger(lost=True).model_dump_json(exclude_none=True).encode()  # as that version writes it too
MAX_BYTES = 32 << 20  # of each file; the largest are a few

log = logging.getLogger(__name__)


def take_over(earlier: Path, state: Path) -> bool:
    """Copy what ``earlier`` has and ``state`` has not, once for ever; a kill in between begins again.

    Called with no agent running, since what one of before still wrote afterwards would be lost. What cannot
    be read is said and left; what cannot be written is tried at the next start.

    Returns: whether ``state`` has a ledger, if only a lost one, or there is none to take over; False where
        the disk did not even take that.
    """
    known = True
    if not (state / TAKEN).exists():
        complete, has_ledger = _copy(earlier, state)
        known = has_ledger or _lose_ours(state)
        if not complete:
            return known
        try:
            write_atomically(state / TAKEN, b"")
        except OSError as error:
            log.error("state of an earlier version is not taken over yet: error=%s", error)
            return known
    try:
        _make_harmless(earlier, state)
    except FileNotFoundError:
        pass  # a new device, or nothing is left of it
    except OSError as error:
        log.error("an earlier version would act by an earlier state if it came back: error=%s", error)
    return known


def forget_document(earlier: Path, content: bytes) -> None:
    """Remove the document that version 0.1.0 would go by, unless it is ``content``.

    Called before ``content`` is on our own disk: a document found there is newer than ours, or the same.
    """
    try:
        with _opened(earlier) as folder:
            if _lies(DOCUMENT, folder) not in (None, content):
                _remove(DOCUMENT, folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.error("desired document of an earlier version stays: error=%s", error)


def _copy(earlier: Path, state: Path) -> tuple[bool, bool]:
    """Return whether everything that can be read is copied now, and whether a ledger of before is."""
    complete = has_ledger = True
    try:
        with _opened(earlier) as folder:
            for name in FILES:
                try:
                    content = _read(name, folder)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    log.error("state of an earlier version is left: file=%s error=%s", name, error.strerror)
                    has_ledger = has_ledger and name != LEDGER
                    continue
                try:
                    if not (state / name).exists() or (name == LEDGER and read(state / name) == LOST):
                        write_atomically(state / name, content)
                        log.info(
                            "state of an earlier version taken over: file=%s bytes=%d", name, len(content)
                        )
                except OSError as error:
                    log.error(
                        "state of an earlier version is not taken over yet: file=%s error=%s", name, error
                    )
                    complete, has_ledger = False, has_ledger and name != LEDGER
    except FileNotFoundError:
        pass  # a new device
    except OSError as error:
        log.error("state of an earlier version is not taken over yet: folder=%s error=%s", earlier, error)
        return False, False
    return complete, has_ledger


def _lose_ours(state: Path) -> bool:
    """Say on the disk that the ledger is lost, unless we have one; return whether the disk took it."""
    try:
        if not (state / LEDGER).exists():
            write_atomically(state / LEDGER, LOST)
    except OSError as error:
        log.error("command ledger is not on disk: error=%s", error)
        return False
    return True


def _make_harmless(earlier: Path, state: Path) -> None:
    """Leave version 0.1.0 nothing to act by; what it did since we last did is not in our files.

    Raises:
        OSError: as much as is done is in an order in which the next start goes on.
    """
    with _opened(earlier) as folder:
        was_left = (state / LEFT).exists()
        if _lies(LEDGER, folder) != LOST:
            if was_left:
                _distrust_ours(state)
            _replace(LEDGER, LOST, folder)
        ours = read(state / DOCUMENT)
        if _lies(DOCUMENT, folder) not in (None, ours):
            if was_left and ours is not None:
                log.warning("another version took a document meanwhile; nothing is touched without it")
                (state / DOCUMENT).unlink()
            _remove(DOCUMENT, folder)
        if not was_left:
            write_atomically(state / LEFT, b"")


def _distrust_ours(state: Path) -> None:
    """Have our ledger trust no command of before now, and keep its outcomes."""
    try:
        ledger = Ledger.model_validate_json(read(state / LEDGER) or LOST)
    except ValidationError:
        return  # a reader takes it for lost
    log.warning("another version judged commands meanwhile; those of before are not trusted")
    lost = ledger.model_copy(update={"lost": True})
    write_atomically(state / LEDGER, lost.model_dump_json(exclude_none=True).encode())


@contextlib.contextmanager
def _opened(earlier: Path) -> Iterator[int]:
    folder = os.open(earlier, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield folder
    finally:
        os.close(folder)


def _lies(name: str, folder: int) -> bytes | OSError | None:
    """Return a regular file's content, why it cannot be had, or None where nothing of that name is."""
    try:
        return _read(name, folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error


def _replace(name: str, content: bytes, folder: int) -> None:
    """Put a file of ours in the place of whatever is there, durably, following no link."""
    temporary = f"{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    os.fsync(folder)


def _remove(name: str, folder: int) -> None:
    os.unlink(name, dir_fd=folder)
    os.fsync(folder)


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
