"""Port to the host machine: its boot id, and its reboot."""

from typing import Protocol


class MachineError(Exception):
    """The machine did not reboot, or its boot id cannot be read."""

    code = "machine-error"


class Machine(Protocol):
    """Port to the machine, as far as commands need it."""

    def boot_id(self, source: str) -> str:
        """Return the id in the file ``source``, which changes with every boot and never within one.

        Raises:
            MachineError: it cannot be read.
        """

    def reboot(self) -> None:
        """Ask the machine to reboot; a return proves nothing.

        Raises:
            MachineError: the call failed; the machine may go down all the same.
        """
