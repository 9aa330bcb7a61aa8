"""Safety of a folder: only root and this user can change what lies in it. Standard library only.

What root executes or trusts must lie where every folder, up to the top, belongs to root or to the user whom
the agent runs as, and nobody else may write; a link on the way counts with its owner and with where it leads.
The component's install script checks the same in shell, link by link, before any file of ours is trusted.
"""

import grp
import os
import pwd
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

_MOST_LINKS = 40  # as many as the kernel follows (path_resolution(7))


def unsafe(folder: Path) -> str | None:
    """Return the first folder on the way to ``folder`` that others may change, and why; None when none is.

    Raises:
        OSError: the way cannot be walked.
    """
    for place, status in _way(folder.absolute()):
        if status.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to {_name(status.st_uid)}"
        if not stat.S_ISLNK(status.st_mode) and _others_may_write(status):
            return f"{place} may be written by others"
    return None


def foreign(tree: Path) -> Path | None:
    """Return something in ``tree`` that is another user's or may be written by others; None when nothing is.

    Raises:
        OSError: it cannot be looked through.
    """

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(tree, onerror=fail):
        for place in (Path(folder), *(Path(folder, name) for name in (*folders, *files))):
            status = place.lstat()
            writable = not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o022
            if status.st_uid != os.geteuid() or writable:
                return place
    return None


def mend(folder: Path, *, own: bool = True) -> None:
    """Take a folder of ours from others where ``unsafe`` complains of it; a link or a file is left alone.

    One that is another user's becomes ours only if ``own``.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        status = os.fstat(descriptor)
        if own and status.st_uid not in (0, os.geteuid()) and os.geteuid() == 0:
            os.fchown(descriptor, 0, 0)
        if _others_may_write(os.fstat(descriptor)):
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~0o022)
    except OSError:
        pass  # what is left of it is reported
    finally:
        os.close(descriptor)


def mend_all(place: Path, *, named_home: bool) -> None:
    """Take the folders of ours around ``place`` from others, as far as this user may.

    The folder above it is ours unless whoever set the device up named it (``named_home``): theirs may have
    other uses, and be open to others for a reason. It stays whose it is in any case.
    """
    if not named_home:
        mend(place.parent, own=False)
    for folder in (place, *(place / name for name in ("versions", "venvs", "state"))):
        mend(folder)


def _way(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield every folder and link that the kernel passes on the way to ``folder``."""
    place = Path("/")
    yield place, place.lstat()
    ahead, links = deque(folder.parts[1:]), 0
    while ahead:
        name = ahead.popleft()
        if name == "..":
            place = place.parent
            continue
        entry = place / name
        status = entry.lstat()
        yield entry, status
        if not stat.S_ISLNK(status.st_mode):
            place = entry
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(f"too many links on the way to {folder}")
        target = Path(os.readlink(entry))
        if target.is_absolute():
            place = Path("/")
        ahead.extendleft(reversed([part for part in target.parts if part != "/"]))


def _others_may_write(status: os.stat_result) -> bool:
    if status.st_mode & stat.S_ISVTX:
        return False  # they may add to it, and change nothing of ours in it
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and status.st_gid != _private_group()


def _private_group() -> int | None:
    """Return the group that is this user's alone; None for root and where groups are shared.

    Where everyone has a group of their own name, folders are made group-writable: nobody else is in it.
    """
    if os.geteuid() == 0:
        return None
    try:
        group = grp.getgrgid(os.getegid())
        return os.getegid() if group.gr_name == pwd.getpwuid(os.geteuid()).pw_name else None
    except KeyError:
        return None


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
