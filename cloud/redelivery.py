"""Commands that wait for their device: sent again when it comes back, until it is heard of or too late.

What a nucleus does with its session differs: the classic one gets on reconnect what it missed, Nucleus
Lite begins anew and never gets it. So the cloud sends such a command again itself: when the broker sees
the device, when the agent says hello (only then has it subscribed), and every minute while it is there.
The device knows a command by its id and does it once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cloud import ledger
from cloud.command import Command
from cloud.device import Device
from cloud.dispatch import Dispatcher
from cloud.presence import state
from contract.defaults import INFER_EXPIRED_AFTER_S


class FindsDevices(Protocol):
    """The part of the devices table that says whether a device is there."""

    def get(self, device: str) -> Device | None: ...


@dataclass(frozen=True, slots=True)
class Redelivery:
    """Sends what waits. Raises ``cloud.aws.errors`` when a table cannot be asked."""

    dispatcher: Dispatcher

    def device_is_back(self, device: str, now: datetime) -> int:
        """Send what waits for ``device``, and let the sweep look in a minute; return how many were sent."""
        sent = 0
        for command in self.dispatcher.commands.waiting(device):
            if self.dispatcher.commands.look_again(command, _next_look(command, now)):
                self.dispatcher.send(command, now)
                sent += 1
        return sent

    def look(self, command: Command, devices: FindsDevices, now: datetime) -> None:
        """Send a command that waits and is due again, if its device is there; else leave it until it is.

        Who moves the next look is the one who sends, so that sweeps side by side send once.
        """
        device = devices.get(command.device)
        there = device is not None and state(device, now).state in ("online", "stale")
        next_look = _next_look(command, now) if there else _last_look(command)
        if self.dispatcher.commands.look_again(command, next_look, unmoved=True) and there:
            self.dispatcher.send(command, now)


def _next_look(command: Command, now: datetime) -> datetime:
    return min(now + ledger.SENT_AGAIN_AFTER, _last_look(command))


def _last_look(command: Command) -> datetime:
    """When it is called EXPIRED."""
    return command.expires_at + timedelta(seconds=INFER_EXPIRED_AFTER_S)
