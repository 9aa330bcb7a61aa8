"""Disk guard: keeps room on the engine's disk before and during a pull, removing images nobody needs."""

import logging
import threading
from collections.abc import Callable, Collection

from edge.containers.model.image_gc import DiskReserve, Pulled, collectable
from edge.containers.store.pulled_images import PulledImages
from edge.host.disk_space import DiskSpace
from edge.ports.engine import Engine
from edge.ports.engine_errors import DiskFull

#: Returns the disk under the engine's data root; None when it cannot be read.
Disk = Callable[[], DiskSpace | None]

log = logging.getLogger(__name__)
_MIB = 1 << 20


class DiskGuard:
    """Guards the disk that pulls fill. Any thread may call."""

    def __init__(self, engine: Engine, pulled: PulledImages, disk: Disk, floor: DiskReserve) -> None:
        self._engine, self._pulled, self._disk, self._floor = engine, pulled, disk, floor
        self._needed: frozenset[str] = frozenset()
        self._collecting = threading.Lock()

    def need(self, images: Collection[str]) -> None:
        """Spare these images (by their ECR names) from now on, whether a container uses them yet or not."""
        self._needed = frozenset(images)

    def make(self, needed_bytes: int) -> None:
        """Make room for a pull of so many bytes; unpacked it takes even more.

        Raises:
            DiskFull: there is too little, and nothing left to remove.
            EngineError: the engine's answer.
            StateUnwritable: the book cannot be written.
        """

        def fits(disk: DiskSpace) -> bool:
            after = DiskSpace(disk.total_bytes, disk.free_bytes - needed_bytes)
            return self._floor.is_kept(disk) and not self._floor.is_half_eaten(after)

        def is_made() -> bool:
            disk = self._disk()
            return disk is None or fits(disk)

        if not is_made():
            self.collect(until=is_made)
            self._demand(fits, f"before a pull of {needed_bytes // _MIB} MiB")

    def begin(self, pulled: Pulled) -> None:
        """Take a pull down in the book, before the image can be there. Raises StateUnwritable."""
        self._pulled.add(pulled)

    def watch(self) -> None:
        """Break off, by raising DiskFull, a pull that leaves too little room to live in."""
        self._demand(lambda disk: not self._floor.is_half_eaten(disk), "in the middle of a pull")

    def abandon(self, pulled: Pulled) -> None:
        """Take an image out of the book whose pull failed: should it appear, then others pulled it."""
        self._pulled.drop(pulled)

    def collect(self, until: Callable[[], bool] = lambda: False) -> bool:
        """Remove pulled images that are not needed, oldest first, ``until`` says so; whether any went.

        Raises EngineError.
        """
        with self._collecting:
            removed = False
            used = self._engine.images_in_use()
            for pulled in collectable(self._pulled.all(), self._needed):
                if until():
                    break
                image_id = self._engine.image_id(pulled.reference)
                if image_id in used:
                    continue
                if image_id is not None:
                    if not self._engine.remove_image(pulled.reference):
                        continue
                    log.info("image collected: image=%s", pulled.image)
                    removed = True
                self._pulled.drop(pulled)
            return removed

    def _demand(self, is_enough: Callable[[DiskSpace], bool], when: str) -> None:
        disk = self._disk()
        if disk is not None and not is_enough(disk):
            raise DiskFull(
                f"{disk.free_bytes // _MIB} MiB free {when}, {self._floor.of(disk) // _MIB} MiB are to stay"
                " free, and there is no image left that nobody needs"
            )
