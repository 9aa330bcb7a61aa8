"""Ownership of a component's folders, and the user of its scripts, where the core runs as root.

Both nuclei give the work folder, and what lies in a component's artifacts, zipped and unzipped, to the
default component user, also where both scripts are privileged. Lite gives the artifacts when they are
downloaded, classic before each script; on classic a deployment's ``runWith`` may name another user, and Lite
passes it over. Where the core is not root everything is the one user's.
"""

import os
import pwd
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from local.greengrass.nucleus.components.process import User


def named(name: str | None) -> User | None:
    """Return a user by name; None where none is named, or where this process cannot become another one.

    Raises:
        KeyError: there is no such user.
    """
    if name is None or os.geteuid() != 0:
        return None
    found = pwd.getpwnam(name)
    return User(found.pw_uid, found.pw_gid)


def give(path: Path, user: User) -> None:
    """Give ``path`` and everything below it to ``user``; of a link the link itself."""
    _give_one(path, user)
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            _give_one(Path(parent, name), user)


def give_contents(folders: Iterable[Path], user: User) -> None:
    """Give what lies in ``folders``, but not the folders themselves."""
    for folder in folders:
        for entry in folder.iterdir() if folder.exists() else ():
            give(entry, user)


def _give_one(path: Path, user: User) -> None:
    with suppress(FileNotFoundError):  # whoever runs there may have removed it meanwhile
        os.lchown(path, user.uid, user.gid)
