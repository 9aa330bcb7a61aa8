"""Update gate: the update locks (files) and maintenance windows that hold updates back now."""

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from contract.desired import DesiredDocument
from edge.containers.model.observed import ContainerPair, Observed
from edge.containers.plan.container_spec import lock_folder
from edge.containers.plan.maintenance_windows import Local, is_open, next_opening
from edge.containers.plan.snapshot import ClosedWindow

LOCK_FILE = "lock"


class UpdateGate:
    """The update locks and windows of one document; owned by the reconciler's thread.

    Windows go by the device's own clock, which may be wrong: a window that it misses comes again.
    """

    def __init__(
        self, folder: Path, now: Callable[[], datetime], local: Local, earlier: Path | None = None
    ) -> None:
        """``earlier`` is where agents of 0.1.0 had their folder, if that is another one than ``folder``.

        Containers that they created do not tell where they have their lock.
        """
        self._untold = earlier or folder
        self._now, self._local = now, local
        self._document: DesiredDocument | None = None
        self._known: tuple[datetime, ClosedWindow | None] | None = None  # by minute

    def obey(self, document: DesiredDocument | None) -> None:
        """Go by the windows of this document from now on, and by ``force``, which opens the gate."""
        self._document, self._known = document, None

    @property
    def force(self) -> bool:
        """Whether the document goes on whatever holds updates back."""
        return self._document is not None and self._document.force

    def window(self) -> ClosedWindow | None:
        """Return the window that is closed now, if the document has any; computed once a minute."""
        windows = self._document.windows if self._document else []
        if not windows:
            return None
        now = self._now()
        minute = now.replace(second=0, microsecond=0)
        if self._known is None or self._known[0] != minute:
            is_closed = not is_open(windows, now, self._local)
            opens_at = next_opening(windows, now, self._local) if is_closed else None
            self._known = minute, ClosedWindow(opens_at) if is_closed else None
        return self._known[1]

    def locked(self, pairs: Mapping[str, ContainerPair]) -> frozenset[str]:
        """Return the applications that hold their lock, whatever the document says.

        Only a container that was given the folder, and is alive, holds one: what is left of a lock after
        its holder ended protects nothing. Anything called ``lock`` counts, also a link that leads nowhere.
        """
        return frozenset(
            name
            for name, pair in pairs.items()
            if any(each is not None and self._holds(name, each) for each in (pair.current, pair.previous))
        )

    def _holds(self, application: str, container: Observed) -> bool:
        supervision = container.supervision
        if not container.alive or not supervision.update_lock:
            return False
        told = supervision.lock_folder
        place = lock_folder(self._untold, application) if told is None else Path(told)
        return os.path.lexists(place / LOCK_FILE)
