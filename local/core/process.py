"""One process group per script: started by a shell, stopped whole, found again after the core crashed."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class ProcessGroup:
    """A running script and whatever it started, as long as that stays in its group."""

    def __init__(self, process: subprocess.Popen[bytes], record: Path) -> None:
        self._process = process
        self._record = record

    @classmethod
    def start(
        cls, script: str, *, folder: Path, environment: Mapping[str, str], log: Path, record: Path
    ) -> "ProcessGroup":
        """Run ``script`` with exactly this environment; output goes to the end of ``log``."""
        for parent in (folder, log.parent, record.parent):
            parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", script],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        record.write_text(json.dumps({"pid": process.pid, "started": _started(process.pid)}))
        return cls(process, record)

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return the exit code of the script, after its group is gone; None when time is up."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self.kill()
        return code

    def stop(self, grace_s: float) -> None:
        """Ask the group to end (SIGTERM), and end it after ``grace_s``."""
        _signal(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """End the whole group now."""
        _signal(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._record.unlink(missing_ok=True)


def kill_leftover(record: Path) -> None:
    """End a group that an earlier core started and did not end; the record guards against a reused pid."""
    try:
        told = json.loads(record.read_text())
    except (OSError, ValueError):
        return
    if told["started"] is not None and _started(told["pid"]) == told["started"]:
        _signal(told["pid"], signal.SIGKILL)
    record.unlink(missing_ok=True)


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _started(pid: int) -> str | None:
    """Return the kernel's start time of a process (proc(5), stat field 22)."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return None
    return after_name.split()[19]
