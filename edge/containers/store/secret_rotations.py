"""Which application was last told to take its secrets anew, in one file.

A rotation makes another specification of the same application: its container is replaced as in any
update, with a trial, and the one with the old values comes back if the new ones do not work.
"""

import hashlib
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from contract.applications import Application
from edge.storage import atomic_files

log = logging.getLogger(__name__)


class _File(BaseModel):
    v: Literal[1] = 1
    rotations: dict[str, str] = {}  # by application: the command that asked


class Rotations:
    """The latest rotation of every application, on disk before ``rotate`` returns.

    Owned by the reconciler's thread. A lost file costs one more replacement of what was rotated.
    """

    def __init__(
        self, path: Path, write: Callable[[Path, bytes], None] = atomic_files.write_atomically
    ) -> None:
        self._path, self._store = path, write
        self._rotations = _load(path)

    def spec(self, application: Application) -> str:
        """Return the digest of what ``application`` is to run: another one after each rotation."""
        digest, rotation = application.digest(), self._rotations.get(application.name)
        if rotation is None or not application.secrets:
            return digest
        return hashlib.sha256(f"{digest} {rotation}".encode()).hexdigest()

    def rotate(self, application: str, rotation: str, wanted: Collection[str]) -> None:
        """Remember a rotation, and no longer those of applications that are not ``wanted``.

        Asking again with the same ``rotation`` changes nothing. Raises OSError when it cannot be
        written, and then it is not remembered.
        """
        kept = {name: each for name, each in self._rotations.items() if name in wanted}
        kept[application] = rotation
        if kept != self._rotations:
            self._store(self._path, _File(rotations=kept).model_dump_json().encode())
            self._rotations = kept


def _load(path: Path) -> dict[str, str]:
    try:
        content = atomic_files.read(path)
        return {} if content is None else _File.model_validate_json(content).rotations
    except (OSError, ValidationError) as error:
        log.error("rotations of secrets are unreadable: path=%s error=%s", path, type(error).__name__)
        return {}
