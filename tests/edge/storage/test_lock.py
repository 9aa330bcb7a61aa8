"""Two agents at once: real processes, because the lock is the kernel's."""

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.startup.own_folder import take
from edge.storage.lock import FILE, AgentLock, LockHeld

REPOSITORY = Path(__file__).parents[3]
#: Takes the lock, says so, and then lives on as it is told.
HOLDER = """
import signal, subprocess, sys, time
from pathlib import Path
from edge.storage.lock import AgentLock
lock = AgentLock(Path(sys.argv[1]), term_s=float(sys.argv[3]))
if "deaf" in sys.argv[2]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock.acquire()
print("has it", flush=True)
if "parent" in sys.argv[2]:
    child = subprocess.Popen(["sleep", "60"], close_fds=False, start_new_session=True)
    print(child.pid, flush=True)
if "watches" in sys.argv[2]:
    while not lock.wanted():
        time.sleep(0.01)
    print("is wanted", flush=True)
    sys.exit(0)
time.sleep(60)
"""


class Holders:
    """Processes that take the lock of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._all: list[subprocess.Popen[str]] = []

    def start(self, how: str = "", *, term_s: float = 10) -> "subprocess.Popen[str]":
        """Start one; it may have the lock, or wait for it."""
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.folder), how, str(term_s)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._all.append(process)
        return process

    def has_it(self, how: str = "") -> "subprocess.Popen[str]":
        """Start one, and return once it has the lock."""
        process = self.start(how)
        assert said(process) == "has it"
        return process

    def end(self) -> None:
        for process in self._all:
            process.kill()
            process.communicate()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def holders(tmp_path: Path) -> Iterator[Holders]:
    found = Holders(tmp_path)
    yield found
    found.end()


@contextlib.contextmanager
def acquired(folder: Path, **given: float) -> Iterator[AgentLock]:
    lock = AgentLock(folder, **given)  # type: ignore[arg-type]
    try:
        lock.acquire()
        yield lock
    finally:
        lock.close()


def test_the_newer_agent_ends_the_older_one_in_order(holders: Holders) -> None:
    older = holders.has_it()

    with acquired(holders.folder):
        assert older.wait(5) == -signal.SIGTERM


def test_one_that_does_not_hear_is_killed_after_its_time(holders: Holders) -> None:
    older = holders.has_it("deaf")

    with acquired(holders.folder, term_s=0.3):
        assert older.wait(5) == -signal.SIGKILL


def test_a_holder_that_was_killed_leaves_nothing_behind(holders: Holders) -> None:
    older = holders.has_it()
    older.kill()
    older.wait()
    (holders.folder / FILE).write_text(str(os.getpid()))  # whatever a file says, nobody is ended for it

    with acquired(holders.folder) as lock:
        assert not lock.wanted()


def test_a_child_that_outlives_the_agent_holds_nothing_and_is_left_alone(holders: Holders) -> None:
    older = holders.has_it("parent")
    child = int(said(older))
    older.kill()
    older.wait()

    try:
        with acquired(holders.folder, term_s=0.1, kill_s=0.1):
            os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_older_one_can_tell_that_another_waits(holders: Holders) -> None:
    older = holders.has_it("deaf, watches")

    with acquired(holders.folder, term_s=30):
        assert said(older) == "is wanted"
        assert older.wait(5) == 0


def test_of_two_that_wait_the_last_one_gets_it(holders: Holders) -> None:
    holder = holders.has_it("deaf")
    waiting = holders.start(term_s=60)
    with AgentLockSeenWanted(holders.folder) as seen:
        seen.wait()

    with acquired(holders.folder, term_s=0.3):
        assert waiting.wait(5) == -signal.SIGTERM
        assert holder.wait(5) == -signal.SIGKILL


class AgentLockSeenWanted:
    """Looks on, from outside, until somebody waits for the lock."""

    def __init__(self, folder: Path) -> None:
        self._lock = AgentLock(folder)

    def __enter__(self) -> "AgentLockSeenWanted":
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def wait(self) -> None:
        """Return when another process is about to take the lock."""
        while not self._lock.wanted():
            pass


def test_a_holder_that_cannot_be_ended_is_said(holders: Holders) -> None:
    holders.has_it("deaf")
    now = iter(range(0, 10_000, 100))
    lock = AgentLock(
        holders.folder, term_s=10_000, kill_s=-9_000, monotonic=lambda: next(now), sleep=lambda _: None
    )

    with pytest.raises(LockHeld, match="does not end"):
        lock.acquire()

    lock.close()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / FILE).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match=FILE):
        AgentLock(tmp_path / "folder")

    assert not (tmp_path / "elsewhere").exists()


def _knows_no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_an_agent_on_a_disk_that_knows_no_locks_works_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fcntl, "lockf", _knows_no_locks)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))

    assert take({}).lock is None

    assert "cannot be locked: error=[Errno 37] No locks available" in caplog.text
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
