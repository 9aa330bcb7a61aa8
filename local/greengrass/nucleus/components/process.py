"""A script's process tree: started by a shell, stopped whole, found again after the core crashed.

A process that outlives its tree's main process is found by the start token in its environment, of which a
digest is on file.
"""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 0.02
_TOKEN = "SVCUID"  # noqa: S105 - the variable's name


@dataclass(frozen=True, slots=True)
class User:
    """The user that a script runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Known:
    """One process for ever: ids are used again, so the kernel's start time goes with it."""

    pid: int
    started: str | None

    @classmethod
    def of(cls, pid: int) -> "Known":
        return cls(pid, _started(pid))

    @property
    def alive(self) -> bool:
        """Whether it runs; one that ended and was not waited for has ended."""
        return self.started is not None and _started(self.pid) == self.started

    def signal(self, number: signal.Signals) -> None:
        if self.alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)


class ProcessTree:
    """A running script and whatever it started, in sessions of their own too."""

    def __init__(self, process: subprocess.Popen[bytes], record: Path, mark: str) -> None:
        self._process = process
        self._record = record
        self._mark = mark
        self._left_alone = False

    @classmethod
    def start(
        cls,
        script: str,
        *,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        record: Path,
        user: User | None = None,
        token: str = "",
    ) -> "ProcessTree":
        """Run ``script`` with this environment alone, as ``user`` if that is said; output goes to ``log``.

        ``token`` is in the environment too, of this start and no other: it tells its children when their
        parents are gone.
        """
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
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
            )
        known, mark = Known.of(process.pid), _mark_of(token.encode())
        record.write_text(json.dumps({"pid": known.pid, "started": known.started, "mark": mark}))
        return cls(process, record, mark)

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return the exit code of the script, whatever it has left behind; None when time is up."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def end(self, *, spares_children: bool) -> None:
        """Be done with a script that ended by itself or ran out of time; its children may live on."""
        if self._left_alone:
            return
        if spares_children and self._process.poll() is not None and any(_marked(self._mark)):
            self.leave()
        else:
            self.kill()
            for known in _marked(self._mark):
                known.signal(signal.SIGKILL)

    def stop(self, grace_s: float, *, each: bool) -> None:
        """Ask every process of the tree to end (SIGTERM), then end what is left.

        ``grace_s`` is the time for all of them together or, with ``each``, for one after the other.
        """
        tree = self._tree()
        for known in tree:
            known.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        for known in tree:
            if each:
                deadline = time.monotonic() + grace_s
            while known.alive and time.monotonic() < deadline:
                self._process.poll()
                time.sleep(_POLL_S)
        for known in tree:
            known.signal(signal.SIGKILL)
        self.kill()

    def kill(self) -> None:
        """End the whole tree now."""
        if self._left_alone:
            return
        tree = self._tree()
        _signal_group(self._process.pid)
        for known in tree:
            known.signal(signal.SIGKILL)
        self._process.wait()
        self._record.unlink(missing_ok=True)

    def leave(self) -> None:
        """Have nothing to do with it any more: it lives on as an orphan, until ``kill_leftovers``."""
        self._left_alone = True
        with suppress(FileNotFoundError):
            self._record.rename(
                self._record.with_name(f"{self._record.stem}.{self._process.pid}.orphan.json")
            )

    def _tree(self) -> list[Known]:
        """Return what runs of it, children before their parents."""
        return [*map(Known.of, _descendants(self._process.pid)), Known.of(self._process.pid)]


def kill_leftovers(folder: Path) -> None:
    """End what is recorded in ``folder``: whatever an earlier core or nucleus started and did not end."""
    for record in folder.glob("*.json"):
        try:
            told = json.loads(record.read_text())
            left = Known(told["pid"], told["started"])
        except (OSError, ValueError, KeyError):
            continue
        tree = [*map(Known.of, _descendants(left.pid)), left] if left.alive else []
        for known in [*tree, *_marked(told.get("mark", ""))]:
            known.signal(signal.SIGKILL)
        record.unlink(missing_ok=True)


def _mark_of(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest() if token else ""


def _marked(mark: str) -> Iterator[Known]:
    """Yield what runs with the token of one start in its environment."""
    prefix = f"{_TOKEN}=".encode()
    for pid in filter(str.isdecimal, os.listdir("/proc") if mark else ()):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue  # somebody else's, or gone
        tokens = [each for each in environment.split(b"\0") if each.startswith(prefix)]
        if any(_mark_of(token.removeprefix(prefix)) == mark for token in tokens):
            yield Known.of(int(pid))


def _descendants(pid: int) -> Iterator[int]:
    """Yield the processes that come from ``pid``, those that were started last first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, at = [pid], 0
    while at < len(found):
        found += children.get(found[at], [])
        at += 1
    yield from reversed(found[1:])


def _signal_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _started(pid: int) -> str | None:
    """Return the kernel's start time of a process (proc(5), stat field 22); a zombie has ended: None."""
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else fields[19]


def _stat(pid: int) -> list[str] | None:
    """Return a process' stat from the third field, its state, on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
