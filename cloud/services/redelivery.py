"""Redelivery of commands: sent again until the device answers or it is too late.

A message may be lost: on a connection that died silently, on its way to an agent that has not subscribed
yet (after a boot; while Nucleus Lite restarts it for a new document), in an MQTT session that Lite never
resumes. So the cloud sends an unanswered command again itself: when the device connects to the broker, when
the agent says hello (only then has it subscribed), and every minute while it is online.
The device knows a command by its id and carries it out once.
"""

from dataclasses import dataclass
from datetime import datetime

from cloud.domain.commands import command_ledger
from cloud.domain.commands.command import Command
from cloud.domain.devices.presence import state
from cloud.services.dispatch import Dispatcher
from cloud.tables.devices import Devices


@dataclass(frozen=True, slots=True)
class Redelivery:
    """Sends unanswered commands again. Raises ``cloud.aws.errors`` when a table cannot be asked."""

    dispatcher: Dispatcher

    def device_is_back(self, device: str, now: datetime) -> int:
        """Send what waits for ``device``, and let the sweep look in a minute; return how many were sent."""
        sent = 0
        for command in self.dispatcher.commands.waiting(device):
            if self.dispatcher.commands.look_again(command, command.next_look(now)):
                self.dispatcher.send(command, now, again=True)
                sent += 1
        return sent

    def look(self, command: Command, devices: Devices, now: datetime) -> None:
        """Send a command that waits and is due again, if its device is there; else leave it until it is.

        Who moves the next look is the one who sends, so that sweeps side by side send once.
        """
        device = devices.get(command.device)
        there = device is not None and state(device, now).state in ("online", "stale")
        next_look = command.next_look(now) if there else command_ledger.called_expired_at(command.expires_at)
        if self.dispatcher.commands.look_again(command, next_look, unmoved=True) and there:
            self.dispatcher.send(command, now, again=True)
