"""The agent's own folder at a start: had alone, taken from others, and with the state of an earlier version.

The recipe's run script starts the agent in its state folder, and says in the environment what lies around
it: FLEETGRASS_PLACE is the folder of ours, FLEETGRASS_EARLIER the work folder, where versions before 0.2.0
had their state. An agent that is started by hand has neither, and whatever folder it is in.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge import earlier_state, safe_folder
from edge.lock import AgentLock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """What was found and done."""

    lock: AgentLock | None = None  # None: the disk takes no file
    unsafe: str | None = None  # which folder others may change, and why
    earlier: Path | None = None  # where an earlier version had its folder


def take(variables: Mapping[str, str] = os.environ) -> OwnFolder:
    """Make the current folder this agent's; its state may be read from now on.

    Raises:
        LockHeld: another agent has it and does not end.
    """
    folder = Path.cwd()
    place, earlier = variables.get("FLEETGRASS_PLACE"), variables.get("FLEETGRASS_EARLIER")
    lock = _lock(folder)
    if earlier:
        earlier_state.take_over(Path(earlier), folder)
    return OwnFolder(
        lock, _mended(folder, Path(place)) if place else None, Path(earlier) if earlier else None
    )


def _lock(folder: Path) -> AgentLock | None:
    try:
        lock = AgentLock(folder)
    except OSError as error:  # a device whose disk takes nothing must come online all the same
        log.error("the state folder cannot be locked: error=%s", error)
        return None
    lock.acquire()
    return lock


def _mended(folder: Path, place: Path) -> str | None:
    safe_folder.mend_all(place)
    try:
        found = safe_folder.unsafe(folder)
    except OSError as error:
        found = str(error)
    if found is not None:
        log.error("others may change what this agent runs: code=unsafe-folder folder=%s", found)
    return found
