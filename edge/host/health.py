"""Host health from /proc, the file system and the thermal zones; what cannot be read is left out."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from contract.reports import HostHealth
from edge.host.disk_space import DiskSpace
from edge.host.machine import architecture

_PROC = Path("/proc")
_ZONES = Path("/sys/class/thermal")


def disk_space(folder: Path) -> DiskSpace | None:
    """Return the space of the disk that ``folder`` is on; None when it cannot be read."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return DiskSpace(disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)


class LinuxHealth:
    """``Health`` of this machine. ``disk`` tells a folder on the disk that fills up: the engine's."""

    def __init__(self, disk: Callable[[], Path], *, proc: Path = _PROC, zones: Path = _ZONES) -> None:
        self._disk = disk
        self._proc = proc
        self._zones = zones
        self._cpu: tuple[int, int] | None = None
        self._cpu = self._cpu_ticks()

    def measure(self) -> HostHealth:
        memory = self._memory()
        disk = disk_space(self._disk())
        return HostHealth(
            architecture=architecture(),
            uptime_s=self._uptime_s(),
            cpu_percent=self._cpu_percent(),
            memory_total_bytes=memory.get("MemTotal"),
            memory_available_bytes=memory.get("MemAvailable"),
            disk_total_bytes=disk.total_bytes if disk else None,
            disk_free_bytes=disk.free_bytes if disk else None,
            temperature_c=self._hottest_c(),
        )

    def _uptime_s(self) -> float:
        try:
            return float((self._proc / "uptime").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return 0.0

    def _cpu_ticks(self) -> tuple[int, int] | None:
        """Return (busy, all) ticks of all cores since boot."""
        try:
            ticks = [int(word) for word in (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        return sum(ticks) - sum(ticks[3:5]), sum(ticks)  # idle and iowait are not busy

    def _cpu_percent(self) -> float | None:
        before, self._cpu = self._cpu, self._cpu_ticks()
        if before is None or self._cpu is None or self._cpu[1] <= before[1]:
            return None
        share = (self._cpu[0] - before[0]) / (self._cpu[1] - before[1])
        return round(100 * min(max(share, 0.0), 1.0), 1)

    def _memory(self) -> dict[str, int]:
        found: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in (self._proc / "meminfo").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in ("MemTotal", "MemAvailable"):
                    found[name] = int(rest.split()[0]) * 1024
        return found

    def _hottest_c(self) -> float | None:
        hottest: float | None = None
        for zone in self._zones.glob("thermal_zone*/temp"):
            with contextlib.suppress(OSError, ValueError):
                hottest = max(hottest if hottest is not None else -273.15, int(zone.read_text()) / 1000)
        return hottest
