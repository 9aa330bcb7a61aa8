"""Disk space: how large a disk is, and how much of it is free. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The disk under the engine's data root."""

    total_bytes: int
    free_bytes: int
