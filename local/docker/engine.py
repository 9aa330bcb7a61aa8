"""A Docker Engine for the platform: the machine's own, or a private one where we may install it.

The EngineUnavailable's message is the one line a user needs.
"""

import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.docker.images import BUSYBOX
from local.docker.private_engine import EngineDidNotStart, PrivateEngine
from local.process.crash_cleanup import Remains
from local.process.docker_socket import answers

DEFAULT_HOST = "unix:///var/run/docker.sock"
_PACKAGES = {"dockerd": "docker.io", "ip": "iproute2"}  # program → Debian's package of it
_POLICY = Path("/usr/sbin/policy-rc.d")
_INTERPRETER = 3  # PT_INTERP (elf(5)): the program header that only a dynamic executable has

Say = Callable[[str], None]


class EngineUnavailable(Exception):
    """There is no engine, or no busybox for the sample images, and we may not install one."""


@dataclass(slots=True)
class Engine:
    """An engine that answers; ``stop`` ends it when it is ours."""

    docker_host: str
    private: PrivateEngine | None = None

    def stop(self) -> None:
        """Stop the private engine and remove its files; the machine's own engine is left alone."""
        if self.private:
            self.private.stop()


def find() -> str | None:
    """Return how to reach an engine that answers: DOCKER_HOST's when it is set, else the default socket's."""
    host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    return host if answers(host) else None


def obtain(say: Say) -> Engine:
    """Return an engine that answers: the one found, else a private one, installed first where needed.

    Raises:
        EngineUnavailable: none answers and none can be started; says what to install.
    """
    found = find()
    _install_missing(say, need_engine=found is None)
    if found:
        return Engine(found)
    say("no Docker Engine answers: starting a private one")
    try:
        private = PrivateEngine(Remains())
    except EngineDidNotStart as error:
        raise EngineUnavailable(
            f"{error}; install and start Docker, or see `make demo ENGINE=memory`"
        ) from error
    return Engine(private.docker_host, private)


def busybox() -> bytes:
    """Return a static busybox for the sample images.

    Raises:
        EngineUnavailable: there is none on this machine.
    """
    program = BUSYBOX.read_bytes() if BUSYBOX.exists() else b""
    if not is_static(program):
        raise EngineUnavailable(f"{BUSYBOX} is not a static busybox: install busybox-static")
    return program


def is_static(program: bytes) -> bool:
    """Whether ``program`` is a 64-bit little-endian ELF executable that needs no interpreter."""
    if program[:6] != b"\x7fELF\x02\x01":
        return False
    (offset,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    kinds = [struct.unpack_from("<I", program, offset + i * size)[0] for i in range(count)]
    return _INTERPRETER not in kinds


def _install_missing(say: Say, *, need_engine: bool) -> None:
    packages = [
        package for program, package in _PACKAGES.items() if need_engine and not shutil.which(program)
    ]
    if not is_static(BUSYBOX.read_bytes() if BUSYBOX.exists() else b""):
        packages.append("busybox-static")
    if need_engine and os.geteuid() != 0:
        raise EngineUnavailable(
            "no Docker Engine answers, and only root may start one here: install and start Docker "
            "(Debian: apt-get install docker.io), or set DOCKER_HOST; `make demo ENGINE=memory` shows "
            "the same flow with simulated containers"
        )
    if not packages:
        return
    wanted = " ".join(packages)
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists() or not shutil.which("apt-get"):
        raise EngineUnavailable(
            f"install {wanted} (those are Debian's names), or see the same flow with simulated "
            "containers: make demo ENGINE=memory"
        )
    say(f"installing Debian's {wanted} with apt-get")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_service_starts():
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            done = subprocess.run(
                ["apt-get", "-qq", *arguments], env=environment, check=False, capture_output=True, text=True
            )
            if done.returncode and arguments[0] == "install":
                words = done.stderr.strip().splitlines() or ["no reason given"]
                raise EngineUnavailable(f"apt-get could not install {wanted}: {words[-1]}")


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """While packages install, keep their services from starting (Debian's invoke-rc.d asks this file)."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
