"""The agent's own folder at a start: locked, closed to others, and with an earlier version's state.

The recipe's run script starts the agent in its state folder, and names the folders around it in the
environment: FLEETGRASS_PLACE is the agent's own folder, FLEETGRASS_EARLIER the work folder, where version
0.1.0 had its state; FLEETGRASS_HOME is the folder above, if the operator named one. An agent that is started
by hand has none of these variables, and uses the folder that it is started in.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.ports.state import StateUnreadable
from edge.startup import earlier_state
from edge.storage import safe_folder
from edge.storage.lock import AgentLock
from edge.storage.state import StateFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """The result of taking the folder over."""

    lock: AgentLock | None = None  # None: the disk takes no file, or knows no locks
    unsafe: str | None = None  # which folder others may change, and why
    earlier: Path | None = None  # where an earlier version had its folder
    knows_commands: bool = True  # False: of before, and not even that is on the disk

    def state(self) -> StateFolder:
        """Return the current folder's files."""
        unread = () if self.knows_commands else (earlier_state.LEDGER,)
        return OwnState(Path.cwd(), self.earlier, unread)


class OwnState(StateFolder):
    """The state of an agent whose earlier version may come back."""

    def __init__(self, folder: Path, earlier: Path | None, unread: Iterable[str] = ()) -> None:
        """``unread`` are files that the earlier version has and the disk did not take."""
        super().__init__(folder)
        self._earlier, self._unread = earlier, set(unread)

    def read(self, name: str) -> bytes | None:
        if name in self._unread:
            raise StateUnreadable(f"{name}: an earlier version's is not taken over yet")
        return super().read(name)

    def write(self, name: str, content: bytes) -> None:
        if name == earlier_state.DOCUMENT and self._earlier is not None:
            earlier_state.forget_document(self._earlier, content)
        super().write(name, content)
        self._unread.discard(name)


def take(variables: Mapping[str, str] = os.environ) -> OwnFolder:
    """Make the current folder this agent's; its state may be read from now on.

    Raises:
        LockHeld: another agent has it and does not end.
    """
    folder = Path.cwd()
    place, earlier = variables.get("FLEETGRASS_PLACE"), variables.get("FLEETGRASS_EARLIER")
    lock = _lock(folder)
    knows_commands = earlier_state.take_over(Path(earlier), folder) if earlier else True
    return OwnFolder(
        lock,
        _mended(folder, Path(place), variables.get("FLEETGRASS_HOME")) if place else None,
        Path(earlier) if earlier else None,
        knows_commands,
    )


def _lock(folder: Path) -> AgentLock | None:
    try:
        lock = AgentLock(folder)
        try:
            lock.acquire()
        except OSError:
            lock.close()
            raise
    except OSError as error:  # whose disk takes nothing or knows no locks must come online too
        log.error("the state folder cannot be locked: error=%s", error)
        return None
    return lock


def _mended(folder: Path, place: Path, named_home: str | None) -> str | None:
    safe_folder.mend_all(place, named_home=bool(named_home))
    try:
        # The way to it by the name that was given has links that the current folder's does not show.
        found = safe_folder.unsafe(folder) or (named_home and safe_folder.unsafe(Path(named_home))) or None
    except OSError as error:
        found = str(error)
    if found is not None:
        log.error("others may change what this agent runs: code=unsafe-folder folder=%s", found)
    return found
