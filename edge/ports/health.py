"""Port to the host's health."""

from typing import Protocol

from contract.reports import HostHealth


class Health(Protocol):
    """The host's health."""

    def measure(self) -> HostHealth:
        """Return the health now; never raises, because a heartbeat must not fail for a thermometer."""
