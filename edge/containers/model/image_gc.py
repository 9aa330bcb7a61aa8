"""Image garbage collection: what may be removed from a disk that runs full, and how full it may get. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from edge.defaults import DISK_FLOOR_BYTES, DISK_FLOOR_SHARE
from edge.host.disk_space import DiskSpace


@dataclass(frozen=True, slots=True)
class DiskReserve:
    """The part of a disk that must stay free: a full disk takes the engine and the agent down with it."""

    bytes_at_least: int = DISK_FLOOR_BYTES  # 0: no floor
    share: float = DISK_FLOOR_SHARE

    def of(self, disk: DiskSpace) -> int:
        """Return the bytes that must be free before a pull begins."""
        return max(self.bytes_at_least, int(disk.total_bytes * self.share)) if self.bytes_at_least else 0

    def is_kept(self, disk: DiskSpace) -> bool:
        """Whether a pull may begin."""
        return disk.free_bytes >= self.of(disk)

    def is_half_eaten(self, disk: DiskSpace) -> bool:
        """Whether a pull that began above the floor turns out too large, and must be broken off."""
        return disk.free_bytes < self.of(disk) // 2


STANDARD_FLOOR = DiskReserve()


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image that this agent pulled."""

    reference: str  # its name on the engine
    image: str  # by its ECR name


def collectable(pulled: Iterable[Pulled], needed: Collection[str]) -> list[Pulled]:
    """Return the images that are not needed any more, the longest pulled first.

    ``needed`` names the images of the desired document. What containers use, anybody's and stopped
    ones too, only the engine can tell: ask it before each removal.
    """
    return [each for each in pulled if each.image not in needed]
