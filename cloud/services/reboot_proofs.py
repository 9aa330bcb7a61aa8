"""Reboot proofs: reboots that a device's next boot proves, where its own result was lost.

A device reports IN_PROGRESS with the boot id that it is about to end. A later message with another boot id
shows that the machine rebooted: the ledger stores that, and calls the command SUCCEEDED when the device has
not reported so itself a minute later. The device's own result, should it still come, replaces that. A device
that some minutes later still reports the old boot id did not reboot: a boot after that proves nothing.
The pending reboot is noted in the device's row (``rows.device_rows``), so that the messages of all other
devices cost nothing.
"""

import logging
from dataclasses import dataclass

from cloud.domain.devices.device import STILL_UP_AFTER, Device, Rebooting
from cloud.ports.messages import Queue
from cloud.services.wake_ups import wake_up
from cloud.tables.devices import Devices
from cloud.tables.proofs import Proofs
from cloud.telemetry.logs import log_event

log = logging.getLogger(__name__)


def proven(device: Device) -> Rebooting | None:
    """Return the reboot that the newest message of ``device`` proves; None where it proves none.

    The row orders the device's messages by epoch and sequence. The newest one must be of another boot, and
    must have arrived after IN_PROGRESS, by the rule's time.
    """
    began = device.rebooting
    if began is None or device.boot_id in (None, began.boot_id, began.older_boot_id):
        return None
    later = device.last_report_at is not None and device.last_report_at > began.at
    return began if later else None


def came_to_nothing(device: Device) -> Rebooting | None:
    """Return the reboot that did not happen, as ``device`` reports the same boot long after; else None.

    A later boot has another cause: a manual reboot, a power cut.
    """
    began = device.rebooting
    if began is None or device.boot_id != began.boot_id or device.last_report_at is None:
        return None
    return began if device.last_report_at > began.at + STILL_UP_AFTER else None


@dataclass(frozen=True, slots=True)
class RebootProofs:
    """Has the ledger know what is proven. Raises ``cloud.aws.errors`` when a table cannot be asked."""

    devices: Devices
    commands: Proofs
    group_reboots: Queue

    def look(self, device: Device) -> bool:
        """Store the reboot that ``device`` proves, if it does; return whether that was new.

        May be called again, by anybody. A command whose IN_PROGRESS is noted and not in the ledger yet (the
        record comes again) is left as it is: nothing is concluded from PENDING or DELIVERED.
        """
        still_up = came_to_nothing(device)
        if still_up is not None:
            self.devices.end_reboot(device.name, still_up.command)
            return False
        began = proven(device)
        if began is None or device.boot_id is None or device.last_report_at is None:
            return False
        found = self.commands.prove(device.name, began.command, device.boot_id, device.last_report_at)
        if found.command is not None:
            log_event(log, "reboot proven", device=device.name, command=began.command)
            if found.command.inferred is not None and found.command.part_of is not None:  # else it is not yet
                wake_up(self.group_reboots, found.command.part_of)
        if found.settled:
            self.devices.end_reboot(device.name, began.command)
        return found.command is not None
