"""Command dispatch: into the ledger first, then to the device. Knows no HTTP.

A command that the broker did not take is ``FAILED: not-sent``, inferred, until it is sent after all or a
result of the device shows that it was received.
"""

import logging
from dataclasses import dataclass
from datetime import datetime

from cloud.aws.errors import CloudError
from cloud.defaults import INFER_EXPIRED_AFTER_S
from cloud.domain.commands.command import Command
from cloud.domain.commands.command_ledger import NOT_SENT, Inferred
from cloud.domain.idempotency import Idempotency
from cloud.ports.bucket import Bundles
from cloud.ports.messages import Broker
from cloud.tables.commands import Commands
from cloud.telemetry.logs import log_event
from contract.commands import UPLOAD_URL_MAX, CommandState
from contract.defaults import COMMAND_MAX_BYTES
from contract.topics import command_request

log = logging.getLogger(__name__)

_UPLOAD_TAKES_S = INFER_EXPIRED_AFTER_S  # a device that starts at the last moment still has this long
_LONGEST_URL = "https://".ljust(UPLOAD_URL_MAX, "x")


class NotSent(Exception):
    """The broker did not take the command, or it is unknown whether it did."""

    code = NOT_SENT

    def __init__(self, command: Command) -> None:
        super().__init__(f"{command.id} was not sent")
        self.command = command


class TooLarge(Exception):
    """The command is larger than every nucleus is sure to deliver; it is in no ledger and was not sent."""

    code = "command-too-large"


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Issues commands. Raises ``cloud.aws.errors`` when the ledger cannot be asked."""

    commands: Commands
    publisher: Broker
    uploads: Bundles | None = None  # needed for commands that ask for a bundle

    def issue(self, command: Command, idempotency: Idempotency | None = None) -> Command:
        """Store and send a new command; with a key that was used before, send the one it made then.

        Raises:
            KeyReused: the key was used with a different request.
            NotSent: the ledger has the command, the broker does not.
            TooLarge: no nucleus would deliver it.
        """
        _fits(command)
        stored = self.commands.create(command, idempotency)
        self.send(stored, command.issued_at)
        return stored

    def send(self, command: Command, now: datetime, *, again: bool = False) -> None:
        """Publish a command that the device has not answered; one that is answered or over is left alone.

        Sending again is harmless, a device knows a command by its id. A newer reboot takes the place
        of older ones that have not started. With ``again``, and for what waits for its device, there is
        no NotSent: the next hello or minute is another chance, and an earlier copy may have arrived.

        Raises:
            NotSent: the broker did not take it, now or when there still was time.
        """
        concluded = command.conclusion(now)
        not_sent = concluded is not None and concluded.code == NOT_SENT
        unheard = command.state is CommandState.PENDING and now < command.expires_at
        if unheard and (concluded is None or not_sent):
            if command.kind == "reboot" and not self.commands.supersede(command):
                return
            self._publish(command, now, chances=again or command.when_online)
            if not_sent:
                self.commands.withdraw(command, now, code=NOT_SENT)
        elif not_sent:
            raise NotSent(command)

    def _publish(self, command: Command, now: datetime, *, chances: bool) -> None:
        payload = command.message(upload_url=self._upload_url(command, now)).to_json()
        try:
            self.publisher.publish(command_request(command.device, command.kind), payload)
        except CloudError as error:
            log_event(
                log, "command not sent", level=logging.WARNING, error=error,
                device=command.device, command=command.id, code=error.code,
            )  # fmt: skip
            if chances:
                return
            # The device may have it all the same (a time-out), so this is a conclusion it can overrule.
            self.commands.conclude(command, Inferred(CommandState.FAILED, NOT_SENT, now))
            raise NotSent(command) from error
        log_event(log, "command sent", device=command.device, command=command.id, kind=command.kind)

    def _upload_url(self, command: Command, now: datetime) -> str | None:
        """Return a new URL: the earlier ones are secrets, and are stored nowhere."""
        if not command.uploads:
            return None
        assert self.uploads is not None  # noqa: S101 - whoever wires a route with uploads gives it one
        last_start = command.expires_at - now
        return self.uploads.put_url(
            command.device, command.id, expires_in_s=last_start.total_seconds() + _UPLOAD_TAKES_S
        )


def _fits(command: Command) -> None:
    """Refuse what may become too large; an upload's URL counts with its greatest length."""
    size = len(command.message(upload_url=_LONGEST_URL if command.uploads else None).to_json())
    if size >= COMMAND_MAX_BYTES:
        raise TooLarge(f"the command has {size} bytes; fewer than {COMMAND_MAX_BYTES} reach every device")
