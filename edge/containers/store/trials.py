"""Record of trials: what is remembered of each application, in one file.

All else is read from the engine's containers. If the file is lost, what runs is taken for proven, and what
failed is tried once more.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel

from edge.containers.model.trial import Failure, TrialRecord
from edge.ports.state import State
from edge.storage.state_file import StateFile

FILE = "applications.json"


class _File(BaseModel):
    v: Literal[1] = 1
    applications: dict[str, TrialRecord] = {}


class TrialRecords:
    """The record of every application, on disk before a method returns.

    Owned by the reconciler's thread. A broken file is set aside, and what it knew is forgotten.
    """

    def __init__(self, state: State) -> None:
        self._file = StateFile(state, FILE, lambda content: _File.model_validate_json(content).applications)
        self._applications = self._file.read() or {}

    def of(self, application: str) -> TrialRecord:
        """Return what is remembered of an application; an empty one when nothing is."""
        return self._applications.get(application, TrialRecord())

    def names(self) -> frozenset[str]:
        """Return the applications that something is remembered of."""
        return frozenset(self._applications)

    def trying(self, application: str, spec: str) -> None:
        """Remember a trial; raises StateUnwritable, and then it is not remembered."""
        self._write({application: TrialRecord(trial=spec)})

    def confirmed(self, specs: Mapping[str, str]) -> None:
        """Remember that these specifications, by application, are proven; all by one write.

        A failure of another specification stays remembered.
        """
        records = {}
        for application, spec in specs.items():
            failed = self.of(application).failed
            records[application] = TrialRecord(failed=failed if failed and failed.spec != spec else None)
        self._write(records)

    def failed(self, application: str, failure: Failure) -> None:
        """Remember a failure; what is on trial stays unproven."""
        self._write({application: TrialRecord(trial=self.of(application).trial, failed=failure)})

    def retry(self, application: str) -> bool:
        """Let a failure count as an earlier deployment's, which is tried again; whether there was one.

        Raises StateUnwritable when that cannot be written, and then it is not so.
        """
        record = self.of(application)
        if record.failed is None:
            return False
        earlier = record.failed.model_copy(update={"deployment_id": ""})
        self._write({application: record.model_copy(update={"failed": earlier})})
        return True

    def forget(self, application: str) -> None:
        """Remember nothing of the application."""
        self._write({application: TrialRecord()})

    def _write(self, records: Mapping[str, TrialRecord]) -> None:
        if all(record == self.of(application) for application, record in records.items()):
            return
        changed = {**self._applications, **records}
        kept = {name: each for name, each in changed.items() if not each.empty}
        self._file.write(_File(applications=kept).model_dump_json(exclude_none=True).encode())
        self._applications = kept
