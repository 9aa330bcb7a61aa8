"""The lock of one state folder: two agents never work at once, and the newer one ends the older.

When a nucleus dies alone its component lives on, and the next nucleus starts a second one. The lock is the
kernel's (a POSIX record lock, fcntl(2)): it is gone with its process whatever that died of, no child inherits
it, and the kernel says who holds it, so that nobody is ended for a number that a file remembers.

LockError
└── LockHeld        lock-held    the holder does not end, or is not this user's to end

A POSIX lock is dropped when its process closes *any* descriptor of the file: nothing else may open it.
"""

import fcntl
import logging
import os
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path

FILE = "agent.lock"
TERM_S = 10.0  # for a goodbye and whatever is under way; what must survive a kill is on the disk anyway
KILL_S = 20.0
LOOK_S = 0.05

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"
_HELD, _WANTED = 0, 1  # the two bytes: who works, and who is about to

log = logging.getLogger(__name__)


class LockError(Exception):
    """The folder cannot be locked."""

    code = "lock"


class LockHeld(LockError):
    """Another process has locked the folder and does not give it up."""

    code = "lock-held"


class AgentLock:
    """The lock of ``folder``. One object for the life of the process: closing it lets the folder go."""

    def __init__(
        self,
        folder: Path,
        *,
        term_s: float = TERM_S,
        kill_s: float = KILL_S,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._descriptor = os.open(
            folder / FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        self._term_s, self._kill_s = term_s, kill_s
        self._monotonic, self._sleep = monotonic, sleep

    def acquire(self) -> None:
        """Lock the folder, and end a process that has locked it; state is read after this only.

        Raises:
            LockHeld: in time it did not end, or it is another user's.
        """
        for byte in (_WANTED, _HELD):  # another agent that is about to begin is older than this one too
            self._take(byte)
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _WANTED)

    def wanted(self) -> bool:
        """Tell whether another agent waits for this one to end."""
        return self._holder(_WANTED) is not None

    def close(self) -> None:
        """Unlock the folder."""
        os.close(self._descriptor)

    def _take(self, byte: int) -> None:
        begun_s = self._monotonic()
        asked: set[int] = set()
        while not self._try(byte):
            waited_s = self._monotonic() - begun_s
            if waited_s > self._term_s + self._kill_s:
                raise LockHeld(f"process {self._holder(byte)} has {FILE} and does not end")
            holder = self._holder(byte)
            if holder is not None and waited_s > self._term_s:
                self._signal(byte, holder, signal.SIGKILL)
            elif holder is not None and holder not in asked:
                log.warning("another agent has the state folder and is ended: process=%d", holder)
                self._signal(byte, holder, signal.SIGTERM)
                asked.add(holder)
            self._sleep(LOOK_S)

    def _try(self, byte: int) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, fcntl(2)
            return False
        return True

    def _holder(self, byte: int) -> int | None:
        """Return the process that the kernel names now; 0 for one that it cannot name here."""
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(self._descriptor, fcntl.F_GETLK, asked))
        return None if kind == fcntl.F_UNLCK else max(pid, 0)

    def _signal(self, byte: int, holder: int, number: signal.Signals) -> None:
        """Signal the holder, and no later process with its number: it must still hold once it is pinned."""
        if holder == 0:
            return  # in another pid namespace: all that can be done is to wait
        try:
            pinned = os.pidfd_open(holder)
        except ProcessLookupError:
            return
        except OSError as error:
            raise LockHeld(f"process {holder} cannot be ended: {error.strerror}") from error
        try:
            if self._holder(byte) == holder:
                signal.pidfd_send_signal(pinned, number)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise LockHeld(f"process {holder} has {FILE} and is another user's") from error
        finally:
            os.close(pinned)
