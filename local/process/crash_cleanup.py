"""Crash cleanup: a file that outlives its process lists what the process has on this machine.

One file per process, one JSON line per resource, below the temp folder; the process keeps it locked (flock)
until it ends, however it ends. A file without a lock is a killed process's: the next platform that starts
removes what it names. Nothing else is ever removed.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from docker.errors import DockerException
from requests import RequestException

from local.process import engine_leftovers
from local.process.children import kill_group, started
from local.process.mounts import remove_tree

_ENDS_S = 45.0  # a private engine stops its containers first
_POLL_S = 0.05


class Remains:
    """The facts of this process. ``close`` it when nothing of what it names is left."""

    def __init__(self, folder: Path | None = None) -> None:
        """Begin an empty file below ``folder``; by default where every process of this user has its own."""
        self._folder = folder or _folder()
        with _alone(self._folder):
            handle, name = tempfile.mkstemp(suffix=".jsonl", dir=self._folder)
            self._file: IO[str] = os.fdopen(handle, "w", encoding="utf-8")
            self._path = Path(name)
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def process(self, pid: int) -> None:
        """Name a process that leads a group of its own."""
        self._note(process=pid, started=started(pid))

    def folder(self, folder: Path) -> None:
        """Name a folder, best before it is made."""
        self._note(folder=str(folder.absolute()))

    def bridge(self, name: str) -> None:
        """Name a network bridge."""
        self._note(bridge=name)

    def claim_engine(self, docker_host: str) -> None:
        """Name the engine that this process's devices share, which is to be nobody else's.

        Raises:
            EngineTaken: it is another process's, and that lives.
        """
        engine = docker_host.removeprefix("unix://")
        engine = os.path.realpath(engine) if engine != docker_host else docker_host
        with _alone(self._folder):
            for other in self._folder.glob("*.jsonl"):
                if other != self._path and _is_held(other):
                    for fact in _read(other.read_text(encoding="utf-8").splitlines()):
                        if fact.get("engine") == engine:
                            raise EngineTaken(docker_host, fact["owner"])
            self._note(engine=engine, owner=os.getpid())

    def containers(self, docker_host: str, thing: str, registry: str) -> None:
        """Name what a device leaves on an engine, and the registry its images come through."""
        self._note(docker_host=docker_host, thing=thing, registry=registry)

    def close(self) -> None:
        """Nothing is left. Idempotent."""
        with _alone(self._folder):
            self._path.unlink(missing_ok=True)
            self._file.close()

    def _note(self, **fact: object) -> None:
        self._file.write(f"{json.dumps(fact)}\n")
        self._file.flush()


class EngineTaken(Exception):
    """Another platform's devices live on this engine, and they are called as ours."""

    def __init__(self, docker_host: str, owner: int) -> None:
        super().__init__(
            f"another platform (process {owner}) runs on the Docker Engine at {docker_host}, with devices "
            "of the same names: stop it first, set DOCKER_HOST to another engine, or use ENGINE=memory"
        )


def clear(say: Callable[[str], None] = lambda _: None, folder: Path | None = None) -> int:
    """Remove what killed processes left and return how many there were; ``say`` is told before."""
    folder, found = folder or _folder(), 0
    with _alone(folder):
        for path in sorted(folder.glob("*.jsonl")):
            if _is_held(path):
                continue  # its owner lives
            facts = _read(path.read_text(encoding="utf-8").splitlines())
            if facts:
                if not found:
                    say("removing what a killed platform left behind")
                found += 1
                try:
                    _remove(facts)
                except (DockerException, RequestException) as error:
                    say(f"its containers stay until the next time: {error}")
                    continue
            path.unlink()
    return found


def _is_held(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _read(file: Iterable[str]) -> list[dict[str, Any]]:
    facts = []
    for line in file:
        with contextlib.suppress(ValueError):  # a last line that was being written
            facts.append(json.loads(line))
    return facts


def _remove(facts: Sequence[dict[str, Any]]) -> None:
    _end([(fact["process"], fact["started"]) for fact in facts if "process" in fact])
    for fact in facts:
        if "docker_host" in fact:
            engine_leftovers.remove(fact["docker_host"], [fact["thing"]], fact["registry"])
    for fact in facts:
        if "bridge" in fact:
            subprocess.run(["ip", "link", "delete", fact["bridge"]], check=False, capture_output=True)
    for fact in facts:
        if "folder" in fact:
            remove_tree(Path(fact["folder"]))


def _end(processes: Sequence[tuple[int, str | None]]) -> None:
    """End those that still are who they were: SIGTERM, time to end in order, SIGKILL for the group."""

    def left() -> list[int]:
        return [pid for pid, since in processes if since is not None and started(pid) == since]

    for pid in left():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _ENDS_S
    while left() and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    for pid in left():
        kill_group(pid)


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"fleetgrass-remains-{os.getuid()}"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a new file from being taken for a dead one's between its making and its locking.

    The folder is there meanwhile, and goes with its last file.

    Raises:
        PermissionError: the folder is somebody else's, whose facts are not to be acted on.
    """
    handle = _locked(folder)
    try:
        if os.fstat(handle).st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to somebody else")
        yield
        with contextlib.suppress(OSError):  # there are other files
            folder.rmdir()
    finally:
        os.close(handle)


def _locked(folder: Path) -> int:
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # removed by whoever was alone before
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return handle
            os.close(handle)
