"""The boot id: proves a reboot, and goes into hello and reports.

Ids of two sources cannot be compared. So the source (the file that the id is read from) is on disk before a
reboot begins, in a file of its own, because agents of the version before refuse a ledger with an unknown
field. Until the reboot is over only that source counts, whatever is configured meanwhile. While it cannot be
read, the device reports the old boot id, because the cloud would take another one as proof of the reboot.
"""

import contextlib
import logging

from pydantic import BaseModel, ConfigDict

from edge.ports.machine import Machine, MachineError
from edge.ports.state import State, StateUnwritable
from edge.storage.state_file import StateFile

FILE = "boot.json"

log = logging.getLogger(__name__)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    boot_id: str
    source: str


class Boot:
    """The boot by one source. All calls come from the loop's thread."""

    def __init__(self, *, state: State, machine: Machine, source: str, certain: bool) -> None:
        """``source`` is the file that the settings have; ``certain``: no other one is configured.

        Raises:
            MachineError: it cannot be read.
        """
        self._file = StateFile(state, FILE, _File.model_validate_json)
        self._machine = machine
        self._source: str | None = source
        self._recorded = self._file.read()
        self._said = machine.boot_id(source)
        self._id: str | None = self._said
        self.certain = certain

    @property
    def id(self) -> str | None:
        """This boot's id; None while the source that counts cannot be read."""
        if self._id is None and self._source is not None:
            try:
                self._id = self._machine.boot_id(self._source)
            except MachineError as error:
                log.debug("boot id cannot be read: %s", error)
        return self._id

    @property
    def said(self) -> str:
        """The boot id for hello and reports."""
        self._said = self.id or self._said
        return self._said

    def follow(self, source: str, *, certain: bool) -> None:
        """Go by what is configured now, where that is certain. Only while no reboot is under way."""
        if not certain or (self.certain and source == self._source):
            return
        try:
            self._id = self._machine.boot_id(source)
        except MachineError as error:  # gone again since it was checked
            log.warning("boot id cannot be read: %s", error)
            return
        self._source, self.certain = source, True

    def begin(self) -> str:
        """Return the boot that a reboot is to end; its source is on disk.

        Raises:
            StateUnwritable: it is not.
        """
        if self._source is None:
            return self.said
        recorded = _File(boot_id=self.said, source=self._source)
        if recorded != self._recorded:
            self._file.write(recorded.model_dump_json().encode())
            self._recorded = recorded
        return recorded.boot_id

    def prepare(self) -> None:
        """Have the source on disk, if possible, so that a reboot's first trace is the ledger's."""
        if self.certain and self.id is not None:
            with contextlib.suppress(StateUnwritable):
                self.begin()

    def resume(self, before: str) -> None:
        """Go by the source of ``before``, the boot that an earlier process began to end.

        Where an agent that wrote down no source did, it was the configured one.
        """
        self._said = before
        if self._recorded is not None and self._recorded.boot_id == before:
            if self._recorded.source != self._source:
                self._source, self._id = self._recorded.source, None
        elif not self.certain:
            self._source = self._id = None

    def suspect(self) -> None:
        """Go by the last source on disk: a reboot may be under way, and the ledger that had it is lost."""
        if self._recorded is not None:
            self.resume(self._recorded.boot_id)
