"""Sequence numbers of this device's messages: ``(epoch, sequence)``, never used twice."""

import logging
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from edge.ports.state import State, StateUnwritable
from edge.storage.state_file import StateFile

FILE = "sequence.json"
BLOCK = 64  # numbers reserved by one write, so that not every report costs an fsync; a restart skips the rest
UNRESERVED = 1 << 53  # the limit of an epoch that no file knows: it is never continued

log = logging.getLogger(__name__)


class _Reserved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    epoch: str = Field(min_length=1, max_length=64)
    below: int = Field(ge=0)  # every number below may have been used


class Sequence:
    """Numbers that count up for ever in one epoch; a lost or broken file begins a new epoch.

    So does a full disk, in memory: a device must be able to say that its disk is full.
    """

    def __init__(self, state: State, new_epoch: Callable[[], str]) -> None:
        self._file = StateFile(state, FILE, _Reserved.model_validate_json)
        self._new_epoch = new_epoch
        found = self._file.read()
        self.epoch = found.epoch if found is not None else new_epoch()
        self._next = self._below = found.below if found is not None else 0

    def next(self) -> tuple[str, int]:
        """Return the epoch and a number greater than all before in it, reserved before it is returned."""
        if self._next >= self._below:
            self._reserve()
        number, self._next = self._next, self._next + 1
        return self.epoch, number

    def _reserve(self) -> None:
        reserved = _Reserved(epoch=self.epoch, below=self._next + BLOCK)
        try:
            self._file.write(reserved.model_dump_json().encode())
            self._below = reserved.below
        except StateUnwritable as error:
            self.epoch, self._next, self._below = self._new_epoch(), 0, UNRESERVED
            log.error("sequence is not on disk, a new epoch begins: epoch=%s error=%s", self.epoch, error)
