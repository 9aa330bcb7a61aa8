"""A Docker Engine of our own: its data, socket and network bridge are ours alone and go when it stops.

It leaves the machine's packet filter and forwarding as they are: ports are published by the engine's
userland proxy, and its containers reach nothing outside. Another engine on the machine is not disturbed.
"""

import ipaddress
import json
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from local.process.children import tethered
from local.process.crash_cleanup import Remains
from local.process.docker_socket import answers
from local.process.mounts import remove_tree

_START_S = 60.0
_STOP_S = 30.0
_NETWORK = ipaddress.ip_network("10.213.0.0/16")  # bridges get a /24 of it
_STORAGE_DRIVERS = (None, "vfs")  # the engine's own choice; vfs works on any file system


class EngineDidNotStart(Exception):
    """The private engine ended or stayed silent; the message names its log."""


class PrivateEngine:
    """A running ``dockerd``; ``docker_host`` is how to reach it."""

    def __init__(self, remains: Remains, data: Path | None = None) -> None:
        """Start it, its data in ``data`` or a new folder; ``remains``, its own now, is told all it makes.

        Raises:
            EngineDidNotStart: with any storage driver; nothing of it is left.
        """
        self._remains = remains
        self._data = data or Path(tempfile.mkdtemp(prefix="fleetgrass-engine-"))
        remains.folder(self._data)
        self._sockets = Path(tempfile.mkdtemp(prefix="fg-"))  # short: a Unix socket's path has 108 bytes
        remains.folder(self._sockets)
        self._log = self._data / "dockerd.log"
        self._bridge: str | None = None
        self._driver: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.docker_host = f"unix://{self._sockets / 'docker.sock'}"
        try:
            self._bridge = f"fg-{secrets.token_hex(4)}"
            remains.bridge(self._bridge)
            _make_bridge(self._bridge)
            if not any(self._start(driver) for driver in _STORAGE_DRIVERS):
                raise EngineDidNotStart(f"the private Docker Engine did not start: {self._last_words()}")
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int | None:
        """The engine's process id while it runs."""
        return self._process.pid if self._process else None

    def kill(self) -> None:
        """Kill the engine as a crash does: its data, its bridge and whatever ran stay as they are."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        # Its containerd dies with it, but stays as a zombie where process 1 reaps none, and dockerd
        # would take a zombie for one that still runs.
        (self._sockets / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def start_again(self) -> None:
        """Start it over the data it had when it was killed; it takes care of what it left running.

        Raises:
            EngineDidNotStart: the message has its last words.
        """
        if self._process is None and not self._start(self._driver):
            raise EngineDidNotStart(f"the private Docker Engine did not start again: {self._last_words()}")

    def stop(self) -> None:
        """Stop the engine and its containers; remove its bridge, mounts and files. Idempotent.

        One that was killed must be started again first, or what it left running stays.
        """
        self._end_process()
        for folder in (self._data, self._sockets):
            remove_tree(folder)
        if self._bridge:
            subprocess.run(["ip", "link", "delete", self._bridge], check=False, capture_output=True)
            self._bridge = None
        self._remains.close()

    def _start(self, driver: str | None) -> bool:
        environment = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(driver),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=tethered,
            )
        self._remains.process(self._process.pid)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if answers(self.docker_host):
                self._driver = driver
                return True
            time.sleep(0.1)
        self._end_process()
        return False

    def _command(self, driver: str | None) -> Sequence[str]:
        return [
            "dockerd",
            f"--data-root={self._data / 'root'}",
            f"--exec-root={self._sockets / 'exec'}",
            f"--pidfile={self._sockets / 'docker.pid'}",
            f"--host={self.docker_host}",
            f"--bridge={self._bridge}",
            "--iptables=false",
            "--ip-masq=false",
            "--ip-forward=false",
            "--shutdown-timeout=10",
            *([f"--storage-driver={driver}"] if driver else []),
        ]

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own session: containerd is in it too
            process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return lines[-1] if lines else "it said nothing"


def _make_bridge(name: str) -> None:
    """Create and raise a bridge on a subnet that no address of the machine is in."""
    taken = [
        ipaddress.ip_network(f"{address['local']}/{address['prefixlen']}", strict=False)
        for link in json.loads(_ip("-json", "address", "show"))
        for address in link.get("addr_info", [])
        if address.get("family") == "inet"
    ]
    free = next(net for net in _NETWORK.subnets(new_prefix=24) if not any(net.overlaps(t) for t in taken))
    _ip("link", "add", "name", name, "type", "bridge")
    _ip("address", "add", f"{free[1]}/{free.prefixlen}", "dev", name)
    _ip("link", "set", name, "up")


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise EngineDidNotStart(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
