"""Port to the host's health."""

from typing import Protocol

from contract.reports import HostHealth


class Health(Protocol):
    """How the machine is."""

    def measure(self) -> HostHealth:
        """Return it now; never raises, because a heartbeat must not fail for a thermometer."""
