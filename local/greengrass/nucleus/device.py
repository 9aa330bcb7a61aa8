"""The device's own file and folders, which `python -m local.greengrass.nucleus FOLDER` finds and makes."""

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from contract.names import docker_architecture
from local.greengrass.nucleus.dialect import DIALECTS, Dialect, Name


class InitialService(BaseModel):
    """One component's part of the initial configuration."""

    configuration: dict[str, Any] = Field(default_factory=dict)


class InitialConfiguration(BaseModel):
    """The configuration of a nucleus' installation (``--init-config``): below newer deployments only."""

    services: dict[str, InitialService] = Field(default_factory=dict)


class Device(BaseModel):
    """``FOLDER/device.json``."""

    model_config = ConfigDict(extra="forbid")

    thing: str
    region: str
    account: str
    endpoint_url: str
    mqtt_host: str
    mqtt_port: int
    ca_path: Path
    cert_path: Path
    key_path: Path
    role_arn: str
    dialect: Name = "classic"
    docker_host: str | None = None
    #: For which part of the real classic's times (1 to 5 minutes) token exchange keeps an error.
    credential_errors_kept: float = 1
    #: Whom unprivileged scripts run as and component folders are given to, where the core runs as root.
    component_user: str | None = "nobody"
    off_s: float = 3
    #: The longest wait between two tries to connect. The real classic nucleus reached 27 s after an outage of
    #: 12 s and more than 40 s after one of two minutes; here it grows alike, but not as far.
    reconnect_max_s: float = 4
    #: How late a job is taken, and how late its end is told. The real classic nucleus: up to 15 s each.
    job_delay_s: float = 0.3
    keep_alive_s: int = 30
    config: InitialConfiguration = Field(default_factory=InitialConfiguration)

    @property
    def nucleus(self) -> Dialect:
        """Return how this device's nucleus behaves."""
        return DIALECTS[self.dialect]


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of one device, and the paths in it."""

    root: Path

    @property
    def nucleus(self) -> Path:
        """The nucleus' own root, ``/greengrass/v2`` on a real device."""
        return self.root / "greengrass"

    @property
    def home(self) -> Path:
        """FLEETGRASS_HOME of the components, outside the nucleus' root.

        It stands for a systemd drop-in of the nucleus' unit that sets the variable; without one the component
        takes /var/lib/fleetgrass, which several devices of one machine would share.
        """
        return self.root / "fleetgrass"

    @property
    def device(self) -> Path:
        return self.root / "device.json"

    @property
    def boot_id(self) -> Path:
        return self.root / "boot_id"

    @property
    def power(self) -> Path:
        return self.root / "power"

    @property
    def socket(self) -> Path:
        return self.root / "ipc.socket"

    @property
    def configuration(self) -> Path:
        return self.root / "configuration.json"

    @property
    def deployments(self) -> Path:
        return self.root / "deployments.json"

    def work(self, component: str) -> Path:
        return self.nucleus / "work" / component

    def log(self, component: str) -> Path:
        return self.root / "logs" / f"{component}.log"

    @property
    def processes(self) -> Path:
        return self.root / "run"

    def process(self, component: str) -> Path:
        return self.processes / f"{component}.json"

    def recipe(self, component: str, version: str) -> Path:
        return self.nucleus / "packages" / "recipes" / f"{component}-{version}.json"

    def artifacts(self, component: str, version: str) -> Path:
        return self.nucleus / "packages" / "artifacts" / component / version

    def unarchived(self, component: str, version: str) -> Path:
        return self.nucleus / "packages" / "artifacts-unarchived" / component / version


def architecture() -> str:
    """Return this machine's architecture as recipes name it."""
    name = docker_architecture(platform.machine())
    return {"arm64": "aarch64", "386": "x86"}.get(name, name)
