"""The host machine: its boot id, its architecture, and its reboot command."""

import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from contract.names import docker_architecture
from edge.ports.machine import MachineError

REBOOT_CALL_S = 20.0  # the call only asks; a machine that goes down may never let it return


class LinuxMachine:
    """``Machine`` by files and a command, both configurable so that a stand-in can be proven too."""

    def __init__(self, *, reboot_command: Sequence[str]) -> None:
        self._reboot_command = tuple(reboot_command)

    def boot_id(self, source: str) -> str:
        try:
            boot_id = Path(source).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise MachineError(f"boot_id_path: {source}: {error}") from error
        if not 1 <= len(boot_id) <= 64:
            raise MachineError(f"boot_id_path: {source} holds no boot id")
        return boot_id

    def reboot(self) -> None:
        try:
            subprocess.run(self._reboot_command, check=True, capture_output=True, timeout=REBOOT_CALL_S)
        except subprocess.TimeoutExpired:
            raise MachineError(f"{self._reboot_command[0]} took over {REBOOT_CALL_S:.0f} s") from None
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise MachineError(
                f"{self._reboot_command[0]} exited with {error.returncode}: {said[:200]}"
            ) from None
        except OSError as error:
            raise MachineError(f"{self._reboot_command[0]}: {error.strerror}") from error


def _no_boot_id(path: object) -> str | None:
    try:
        LinuxMachine(reboot_command=()).boot_id(str(path))
    except MachineError as error:
        return str(error).removeprefix("boot_id_path: ")
    return None


def _no_command(command: object) -> str | None:
    first = next(iter(command), "") if isinstance(command, list) else ""
    return None if shutil.which(first) is not None else f"there is no command {first[:100]!r}"


#: Why a value of the configuration cannot be used on this machine, by key; see ``configuration.settings``.
CHECKS = {"boot_id_path": _no_boot_id, "reboot_command": _no_command}


def architecture() -> str:
    """Return this machine's architecture as Docker names it, else as the kernel does."""
    return docker_architecture(platform.machine()) or "unknown"
