"""Filter of the device list: the conditions that an operator can ask for. Pure."""

from dataclasses import astuple, dataclass

from cloud.domain.devices.device import Device
from cloud.domain.devices.device_index import digests
from cloud.domain.devices.presence import State


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Conditions of the device list; None: any. ``prefix`` is of the name, ignoring case."""

    group: str | None = None
    prefix: str | None = None
    image: str | None = None  # a digest, sha256:…
    application: str | None = None
    agent_version: str | None = None
    state: State | None = None

    @property
    def looks_inside(self) -> bool:
        """Whether the device's applications are needed to decide."""
        return self.image is not None or self.application is not None

    @property
    def is_empty(self) -> bool:
        """Whether every device is listed."""
        return not any(astuple(self))

    def takes(self, device: Device, state: State) -> bool:
        """Return whether ``device``, which is in ``state``, is listed."""
        return (
            self.group in (None, device.group)
            and self.agent_version in (None, device.agent_version)
            and self.state in (None, state)
            and (self.prefix is None or device.name.lower().startswith(self.prefix.lower()))
            and (self.application is None or self.application in device.applications)
            and (self.image is None or self.image in digests(device))
        )
