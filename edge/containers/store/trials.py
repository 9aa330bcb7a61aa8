"""What is remembered of applications, in one file.

All else is read off the engine's containers. A lost file costs only this: what runs is taken for
proven, and what failed is tried once more.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from edge.containers.model.trial import Failure, Memory
from edge.storage import atomic_files

log = logging.getLogger(__name__)


class _File(BaseModel):
    v: Literal[1] = 1
    applications: dict[str, Memory] = {}


class Memories:
    """What is remembered of every application, on disk before a method returns.

    Owned by the reconciler's thread. Unreadable bookkeeping is said once and then forgotten.
    """

    def __init__(
        self, path: Path, write: Callable[[Path, bytes], None] = atomic_files.write_atomically
    ) -> None:
        self._path, self._store = path, write
        self._applications = _load(path)

    def of(self, application: str) -> Memory:
        """Return what is remembered of an application; an empty memory when nothing is."""
        return self._applications.get(application, Memory())

    def names(self) -> frozenset[str]:
        """Return the applications that something is remembered of."""
        return frozenset(self._applications)

    def trying(self, application: str, spec: str) -> None:
        """Remember a trial; raises OSError when that cannot be written, and then it is not remembered."""
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

        Raises OSError when that cannot be written, and then it is not so.
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
        self._store(self._path, _File(applications=kept).model_dump_json(exclude_none=True).encode())
        self._applications = kept


def _load(path: Path) -> dict[str, Memory]:
    try:
        content = atomic_files.read(path)
        return {} if content is None else _File.model_validate_json(content).applications
    except (OSError, ValidationError) as error:
        log.error(
            "what was remembered of applications is unreadable: path=%s error=%s", path, type(error).__name__
        )
        return {}
