"""Record of trials: what is remembered of each application, in one file.

All else is read from the engine's containers. If the file is lost, what runs is taken for proven, and what
failed is tried once more.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel

from edge.containers.model.trial import Failure, Memory
from edge.ports.state import State
from edge.storage.state_file import StateFile

FILE = "applications.json"


class _File(BaseModel):
    v: Literal[1] = 1
    applications: dict[str, Memory] = {}


class Memories:
    """The memory of every application, on disk before a method returns.

    Owned by the reconciler's thread. A broken file is set aside, and what it knew is forgotten.
    """

    def __init__(self, state: State) -> None:
        self._file = StateFile(state, FILE, lambda content: _File.model_validate_json(content).applications)
        self._applications = self._file.read() or {}

    def of(self, application: str) -> Memory:
        """Return what is remembered of an application; an empty memory when nothing is."""
        return self._applications.get(application, Memory())

    def names(self) -> frozenset[str]:
        """Return the applications that something is remembered of."""
        return frozenset(self._applications)

    def trying(self, application: str, spec: str) -> None:
        """Remember a trial; raises StateUnwritable, and then it is not remembered."""
        self._write({application: Memory(trial=spec)})

    def confirmed(self, specs: Mapping[str, str]) -> None:
        """Remember that these specifications, by application, are proven; all by one write.

        A failure of another specification stays remembered.
        """
        memories = {}
        for application, spec in specs.items():
            failed = self.of(application).failed
            memories[application] = Memory(failed=failed if failed and failed.spec != spec else None)
        self._write(memories)

    def failed(self, application: str, failure: Failure) -> None:
        """Remember a failure; what is on trial stays unproven."""
        self._write({application: Memory(trial=self.of(application).trial, failed=failure)})

    def retry(self, application: str) -> bool:
        """Let a failure count as an earlier deployment's, which is tried again; whether there was one.

        Raises StateUnwritable when that cannot be written, and then it is not so.
        """
        memory = self.of(application)
        if memory.failed is None:
            return False
        earlier = memory.failed.model_copy(update={"deployment_id": ""})
        self._write({application: memory.model_copy(update={"failed": earlier})})
        return True

    def forget(self, application: str) -> None:
        """Remember nothing of the application."""
        self._write({application: Memory()})

    def _write(self, memories: Mapping[str, Memory]) -> None:
        if all(memory == self.of(application) for application, memory in memories.items()):
            return
        changed = {**self._applications, **memories}
        kept = {name: each for name, each in changed.items() if not each.empty}
        self._file.write(_File(applications=kept).model_dump_json(exclude_none=True).encode())
        self._applications = kept
