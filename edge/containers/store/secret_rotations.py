"""Record of the latest secret rotation of each application, in one file.

A rotation changes the digest of the application's specification: its container is replaced as in any
update, with a trial, and the one with the old values comes back if the new ones do not work.
"""

import hashlib
from collections.abc import Collection
from typing import Literal

from pydantic import BaseModel

from contract.applications import Application
from edge.ports.state import State
from edge.storage.state_file import StateFile

FILE = "rotations.json"


class _File(BaseModel):
    v: Literal[1] = 1
    rotations: dict[str, str] = {}  # by application: the command that asked


class SecretRotations:
    """The latest rotation of every application, on disk before ``rotate`` returns.

    Owned by the reconciler's thread. A lost file costs one more replacement of what was rotated.
    """

    def __init__(self, state: State) -> None:
        self._file = StateFile(state, FILE, lambda content: _File.model_validate_json(content).rotations)
        self._rotations = self._file.read() or {}

    def spec(self, application: Application) -> str:
        """Return the digest of what ``application`` is to run: another one after each rotation."""
        digest, rotation = application.digest(), self._rotations.get(application.name)
        if rotation is None or not application.secrets:
            return digest
        return hashlib.sha256(f"{digest} {rotation}".encode()).hexdigest()

    def rotate(self, application: str, rotation: str, wanted: Collection[str]) -> None:
        """Remember a rotation, and no longer those of applications that are not ``wanted``.

        Asking again with the same ``rotation`` changes nothing. Raises StateUnwritable when it cannot be
        written, and then it is not remembered.
        """
        kept = {name: each for name, each in self._rotations.items() if name in wanted}
        kept[application] = rotation
        if kept != self._rotations:
            self._file.write(_File(rotations=kept).model_dump_json().encode())
            self._rotations = kept
