"""The worker of group reboots, woken through a queue: the one function that reboots a group's devices.

The next step is decided by ``commands.group_reboot_steps``. A device's command has its id before it is
created, is created before it is sent, and is sent again until the next step is stored. So a device gets one
command, even if a wake-up comes twice or this function dies half way.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloud.aws.errors import Conflict, Unavailable
from cloud.clock import Clock, utc_now
from cloud.defaults import OFFLINE_DEBOUNCE_S
from cloud.domain.commands.command import Command
from cloud.domain.commands.group_reboot import GroupReboot, Member, MemberState, State, StoppedBy
from cloud.domain.commands.group_reboot_steps import (
    CHANGES_MAX,
    Candidate,
    DeviceFacts,
    Step,
    candidate,
    decide,
    list_members,
    order,
)
from cloud.environment import ENVIRONMENT
from cloud.ports.messages import Queue
from cloud.services.dispatch import Dispatcher, NotSent
from cloud.services.wake_ups import wake_up, woken_group_reboot
from cloud.tables.devices import Devices
from cloud.tables.group_reboots import GroupReboots
from cloud.telemetry.logs import log_context, log_event, start_logging
from cloud.telemetry.metrics import Metric, count
from cloud.wiring.devices import devices
from cloud.wiring.dispatcher import dispatcher
from cloud.wiring.group_reboots import group_reboots
from cloud.wiring.wake_ups import wake_ups

log = logging.getLogger(__name__)

_STEPS_MAX = 20  # of one wake-up; what is left is another one's
_LOOK_AHEAD = 50  # candidates looked up for a step


@dataclass(frozen=True, slots=True)
class Advance:
    """Advances group reboots. Raises ``cloud.aws.errors`` when a table cannot be asked."""

    reboots: GroupReboots
    devices: Devices
    dispatcher: Dispatcher
    clock: Clock
    offline_debounce_s: float = OFFLINE_DEBOUNCE_S

    def advance(self, reboot_id: str) -> bool:
        """Take the steps that are to be taken now; False when there may be more of them.

        Every step makes the same few calls, however large the group is.
        """
        for _ in range(_STEPS_MAX):
            reboot = self.reboots.get(reboot_id)
            if reboot is None or reboot.state.final:
                return True
            step = self._step(reboot)
            if step is None:
                return True
            self._save(reboot, step)
        return False

    def _step(self, reboot: GroupReboot) -> Step | None:
        if not reboot.listed:
            names, more = self.devices.names_after(reboot.listed_to, CHANGES_MAX, reboot.group)
            return list_members(reboot, names, more=more, now=self.clock())
        return decide(reboot, self._facts(reboot), self.clock())

    def _facts(self, reboot: GroupReboot) -> DeviceFacts:
        commands = self.reboots.commands(reboot) if reboot.unsettled else {}
        starting = [m for m in reboot.active.values() if m.state is MemberState.STARTING]
        sent = [member.device for member in starting if self._send(reboot, member, commands)]
        return DeviceFacts(commands, sent, self._candidates(reboot))

    def _send(self, reboot: GroupReboot, member: Member, commands: dict[str, Command]) -> bool:
        """Create and send a member's command, unless it was received already; return whether it is out."""
        command = commands.get(member.device) or self._made(reboot, member)
        try:
            self.dispatcher.send(command, self.clock())
        except NotSent:
            return False  # the ledger says so, and the next wake-up tries again
        commands[member.device] = command
        return True

    def _made(self, reboot: GroupReboot, member: Member) -> Command:
        message = order(reboot, member)
        try:
            made = Command.made_of(member.device, message, part_of=reboot.id)
            return self.dispatcher.commands.create(made)
        except Conflict:  # another invocation created it at the same time
            found = self.dispatcher.commands.get(member.device, message.id)
            if found is None:
                raise
            return found

    def _candidates(self, reboot: GroupReboot) -> list[Candidate]:
        if reboot.state is not State.RUNNING or not reboot.waiting:
            return []
        names = self.reboots.waiting(reboot, _LOOK_AHEAD)
        found, now = self.devices.named(names), self.clock()
        return [
            candidate(name, found.get(name), reboot.group, now, offline_debounce_s=self.offline_debounce_s)
            for name in names
        ]

    def _save(self, before: GroupReboot, step: Step) -> None:
        reboot = step.after
        try:
            stored = self.reboots.save(step, self.clock())
        except Unavailable as error:  # maybe stored, maybe at odds with another step: the next look tells
            log_event(log, "step not confirmed", level=logging.WARNING, error=error, group_reboot=reboot.id)
            return
        if stored:
            log_event(
                log, "group reboot",
                group_reboot=reboot.id, group=reboot.group, state=reboot.state, version=reboot.version,
                waiting=reboot.waiting, active=len(reboot.active), failed=len(reboot.failures),
                stopped_by=reboot.stopped_by,
            )  # fmt: skip
            if before.stopped_by is None and reboot.stopped_by in (StoppedBy.FAILURES, StoppedBy.EMPTY_GROUP):
                count(Metric.GROUP_REBOOTS_STOPPED, stopped_by=reboot.stopped_by)


def advance_batch(records: list[Mapping[str, Any]], *, advance: Advance, queue: Queue) -> list[str]:
    """Advance what the records are about, each once; return the message ids of those that must come again."""
    again: list[str] = []
    done: set[str] = set()
    for record in records:
        reboot_id = woken_group_reboot(record["body"])
        if reboot_id is None:
            log_event(log, "no wake-up", level=logging.WARNING, message_id=record["messageId"])
            count(Metric.MALFORMED_MESSAGES)
            continue
        if reboot_id in done:
            continue
        with log_context(message_id=record["messageId"], group_reboot=reboot_id):
            try:
                if not advance.advance(reboot_id):
                    wake_up(queue, reboot_id)
            except Exception as error:  # noqa: BLE001 - SQS gets the answer: this record again, the others not
                log_event(log, "group reboot not advanced", level=logging.ERROR, error=error)
                again.append(record["messageId"])
            else:
                done.add(reboot_id)
    return again


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Lambda's entry; answers with the records that must come again."""
    start_logging()
    advance = Advance(group_reboots(), devices(), dispatcher(), utc_now, ENVIRONMENT.offline_debounce_s)
    again = advance_batch(event["Records"], advance=advance, queue=wake_ups())
    return {"batchItemFailures": [{"itemIdentifier": message} for message in again]}
