"""The devices of the local platform: a folder each, and one core process each."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.names import COMPONENT
from local.aws.account import ACCOUNT, REGION
from local.process.children import PYTHON, Child, DidNotStart

_GONE_S = 20.0
_HEARTBEAT_S = 5


class Device:
    """A running core device. Its folder's path is short, because Unix sockets lie in it."""

    def __init__(
        self, folder: Path, log: Path, settings: Mapping[str, Any], environment: Mapping[str, str]
    ) -> None:
        """Write ``device.json`` and power the device on; ``log`` is where its core and components write.

        Raises:
            DidNotStart: the core ended at once.
        """
        self.folder = folder
        self.thing: str = settings["thing"]
        configuration = settings["config"]["services"][COMPONENT]["configuration"]
        self.publish_address: str = configuration["publish_address"]
        log.mkdir(parents=True, exist_ok=True)
        (folder / "logs").symlink_to(log)
        (folder / "device.json").write_text(json.dumps(settings, indent=2))
        self._environment = dict(environment)
        self._log = log
        self.child = self._power_on()

    def boot_id(self) -> str:
        """Return the id of this boot, as the device's own boot_id file has it."""
        return (self.folder / "boot_id").read_text().strip()

    def power(self, command: str) -> None:
        """Tell the machine one of the power FIFO's commands (``local.greengrass.nucleus.power``)."""
        with (self.folder / "power").open("w", encoding="utf-8") as power:
            power.write(f"{command}\n")

    def turn_off(self) -> None:
        """Shut the device down in order. Its containers go on running."""
        self.child.stop(_GONE_S)

    def turn_on(self) -> None:
        """Power a device on again that was turned off; its disk is as it was."""
        self.child = self._power_on()

    def remove(self) -> None:
        """Turn it off and remove its folder."""
        self.turn_off()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _power_on(self) -> Child:
        (self.folder / "boot_id").unlink(missing_ok=True)
        child = Child(
            f"the core of {self.thing}",
            [PYTHON, "-m", "local.greengrass.nucleus", str(self.folder)],
            log=self._log / "core.log",
            environment=self._environment,
        )
        try:
            child.wait_until((self.folder / "boot_id").exists, within_s=20)
        except DidNotStart:
            child.stop()
            raise
        return child


def machine_configuration(
    folder: Path, publish_address: str, registry: str, otherwise: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a device's own configuration file says of the agent, before any deployment.

    It makes this machine look like several: an address for each device's ports, a boot id and a
    power button in its ``folder``, ``registry`` (``host:port``) in front of ECR, and a faster pulse.
    ``otherwise`` are the agent's values that are to be others.
    """
    agent = {
        "publish_address": publish_address,
        "registry_mirrors": {f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com": registry},
        "heartbeat_s": _HEARTBEAT_S,
        "boot_id_path": str(folder / "boot_id"),
        "reboot_command": ["sh", "-c", f"echo reboot > {folder / 'power'}"],
        "reboot_grace_s": 30,
        "healthy_poll_s": 0.5,
    }
    return {"services": {COMPONENT: {"configuration": {**agent, **otherwise}}}}
