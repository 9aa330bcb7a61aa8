"""Child processes of the platform: started with a log each, waited for, and ended by their id."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
_POLL_S = 0.05
_TOOL_S = 600.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # loaded before any fork


class DidNotStart(Exception):
    """A part of the platform ended or stayed silent; the message names its log."""


class PortInUse(Exception):
    """Something else listens on a port that the platform was told to use."""


class Child:
    """A process in a session of its own. Its standard input stays open until it is stopped.

    Start it in a thread that lives as long as it should: it is told to end when that thread ends,
    however it ends (``tethered``).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        folder: Path = ROOT,
    ) -> None:
        """Start it. ``environment`` is all it gets, but for what every process of this machine needs."""
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=machine_environment() | dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=tethered,
            )

    @property
    def pid(self) -> int:
        """Its process id, also its session's and group's."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], within_s: float) -> None:
        """Return once ``ready`` says so.

        Raises:
            DidNotStart: the process ended, or was not ready in time.
        """
        deadline = time.monotonic() + within_s
        while not ready():
            if not self.running:
                raise DidNotStart(
                    f"{self.name} ended at its start: {self._last_line()} (its log: {self.log})"
                )
            if time.monotonic() > deadline:
                raise DidNotStart(f"{self.name} was not ready within {within_s:g} s (its log: {self.log})")
            time.sleep(_POLL_S)

    def stop(self, grace_s: float = 10.0) -> None:
        """End it and what it started: SIGTERM, then SIGKILL for the whole group. Idempotent."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        if self.running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        kill_group(self.pid)
        self._process.wait()

    def kill(self) -> None:
        """SIGKILL it and what it started, as a power cut would."""
        kill_group(self.pid)
        self.stop()

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def tethered() -> None:
    """Have the kernel send SIGTERM when the thread that forked is gone (prctl(2), PR_SET_PDEATHSIG).

    So a platform whose process was killed leaves nothing running. For ``preexec_fn``.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def run_tool(
    name: str, command: Sequence[str], environment: Mapping[str, str], *, log: Path, folder: Path = ROOT
) -> str:
    """Run a tool in ``folder`` to its end and return its standard output; its standard error becomes ``log``.

    Raises:
        DidNotStart: it failed or took too long; its last line, and the log's name.
    """
    with log.open("w") as errors:
        try:
            done = subprocess.run(
                command, cwd=folder, env=machine_environment() | dict(environment), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors, text=True, check=False, timeout=_TOOL_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise DidNotStart(f"{name} took more than {_TOOL_S:g} s (its log: {log})") from None
    if done.returncode:
        said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        raise DidNotStart(f"{name} failed: {said[-1]} (its log: {log})")
    return done.stdout


def kill_group(pid: int) -> None:
    """SIGKILL every process of the group that ``pid`` leads or led; none left is fine."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def started(pid: int) -> str | None:
    """Return when the kernel started a process (proc(5), stat field 22), None when there is none.

    With it a process id names one process for ever: ids are used again. A zombie has ended.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else fields[18]


def machine_environment() -> dict[str, str]:
    """Return the variables every process needs: no AWS credential, and no proxy on loopback."""
    kept = {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    proxies = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"}
    found = {
        name: value
        for name, value in os.environ.items()
        if name in kept | proxies or name.startswith(("PIP_", "FLEETGRASS_"))
    }
    return found | {
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
    }


def chosen_ports(purposes: Sequence[str]) -> list[int]:
    """Return a port for each purpose: those from FLEETGRASS_PORT on where that is set, else any free ones.

    Raises:
        PortInUse: one of those asked for is taken, or they are no ports; says which.
    """
    first = os.environ.get("FLEETGRASS_PORT")
    if not first:
        return free_ports(len(purposes))
    if not first.isdecimal() or not 1 <= int(first) <= 65_536 - len(purposes):
        raise PortInUse(f"FLEETGRASS_PORT={first} is not the first of {len(purposes)} ports")
    ports = [int(first) + i for i in range(len(purposes))]
    for port, purpose in zip(ports, purposes, strict=True):
        require_free(port, purpose)
    return ports


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nothing listened on just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def require_free(port: int, purpose: str) -> None:
    """Do nothing when ``port`` of 127.0.0.1 can be listened on.

    Raises:
        PortInUse: it cannot; names the port and what it was for.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortInUse(
                f"port {port} ({purpose}) is in use ({error.strerror}): set FLEETGRASS_PORT to the first of "
                "five free ports, or leave it out"
            ) from error
