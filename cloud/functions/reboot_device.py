"""``POST /devices/{device}/reboot``: one reboot command, in the ledger before it is on its way."""

import logging
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cloud.aws.clients import client, iot_data
from cloud.aws.errors import CloudError
from cloud.aws.iot_data import Publisher
from cloud.clock import Clock, new_id, utc_now
from cloud.command import Command
from cloud.device import Device
from cloud.http import Problem, Request, Response, lambda_handler, location
from cloud.ledger import Inferred
from cloud.presence import Seen, state
from cloud.tables.commands import Commands
from cloud.tables.devices import Devices
from contract.commands import CommandState, RebootCommand
from contract.defaults import COMMAND_EXPIRY_MAX_S, COMMAND_EXPIRY_S, OFFLINE_DEBOUNCE_S
from contract.topics import command_request

log = logging.getLogger(__name__)

NOT_SENT = "not-sent"


class RebootRequest(BaseModel):
    """What an operator sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    force: bool = False  # even while a container is being replaced
    expires_in_s: Annotated[float, Field(ge=1, le=COMMAND_EXPIRY_MAX_S)] = COMMAND_EXPIRY_S


class SendsCommands(Protocol):
    """The port to the device; ``cloud.aws.iot_data.Publisher`` in AWS."""

    def publish(self, topic: str, payload: bytes) -> None: ...


class FindsDevices(Protocol):
    """The part of the devices table that a reboot needs."""

    def get(self, device: str) -> Device | None: ...


def reboot(
    request: Request,
    *,
    devices: FindsDevices,
    commands: Commands,
    publisher: SendsCommands,
    clock: Clock,
    offline_debounce_s: float = OFFLINE_DEBOUNCE_S,
) -> Response:
    """Answer 202 with the command's Location once the broker has it.

    Raises:
        Problem: 404 ``device-not-found``, 409 ``device-offline`` with since when, 503 ``not-sent``.
    """
    name = request.path["device"]
    wish = request.parse(RebootRequest)
    device = devices.get(name)
    if device is None:
        raise Problem(404, "device-not-found", f"there is no device {name}")
    request.require_group(device.groups)

    idempotency = request.idempotency()
    earlier = commands.made_by(idempotency) if idempotency else None
    now = clock()
    if earlier is not None:
        return _send(earlier, commands, publisher, now)

    message = RebootCommand(
        id=new_id("cmd", now),
        issued_at=now,
        expires_at=now + timedelta(seconds=wish.expires_in_s),
        requested_by=request.caller.subject,
        reason=wish.reason,
        force=wish.force,
    )
    warnings = _reachable(state(device, now, offline_debounce_s=offline_debounce_s))
    command = commands.create(name, message, warnings=warnings, idempotency=idempotency)
    return _send(command, commands, publisher, now)


def _send(command: Command, commands: Commands, publisher: SendsCommands, now: datetime) -> Response:
    """Publish a command that nothing was heard of, and answer as when it was made.

    Also a command whose key comes again: the call that made it may have died before it was sent, or the
    broker did not take it. A device that has it knows it by its id.
    """
    concluded = command.conclusion(now)
    not_sent = concluded is not None and concluded.code == NOT_SENT
    unheard = command.state is CommandState.PENDING and now < command.expires_at
    if unheard and (concluded is None or not_sent):
        commands.supersede_before(command)
        try:
            publisher.publish(command_request(command.device, "reboot"), _message(command).to_json())
        except CloudError as error:
            # The device may have it all the same (a time-out), so this is a conclusion it can overrule.
            commands.conclude(command, Inferred(CommandState.FAILED, NOT_SENT, now))
            log.warning(
                "command not sent: command=%s device=%s code=%s",
                command.id, command.device, error.code, exc_info=True,
            )  # fmt: skip
            raise _not_sent(command) from error
        if not_sent:
            commands.withdraw(command, code=NOT_SENT)
        log.info("command sent: command=%s device=%s kind=reboot", command.id, command.device)
    elif not_sent:
        raise _not_sent(command)
    return _accepted(command)


def _message(command: Command) -> RebootCommand:
    return RebootCommand(
        id=command.id,
        issued_at=command.issued_at,
        expires_at=command.expires_at,
        requested_by=command.requested_by,
        reason=command.reason,
        force=command.force,
    )


def _reachable(seen: Seen) -> tuple[str, ...]:
    """Return the warnings of a reboot that may go out; refuse one that nobody would hear."""
    presence, reason, since = seen
    if presence == "stale":
        return (f"the device is connected and has not reported since {_iso(since)}: it may not act",)
    if presence != "online":
        when = f" since {_iso(since)}" if since else ""
        raise Problem(
            409, "device-offline", f"the device is {presence}{when}: {reason}", state=presence, since=since
        )
    return ()


def _accepted(command: Command) -> Response:
    body: Mapping[str, object] = {
        "id": command.id,
        "device": command.device,
        "kind": command.kind,
        "state": CommandState.PENDING.value,  # as it was made; its Location tells how it goes on
        "issued_at": command.issued_at,
        "expires_at": command.expires_at,
        "requested_by": command.requested_by,
        "reason": command.reason,
        "force": command.force,
        "warnings": list(command.warnings),
    }
    return Response(202, body, location("devices", command.device, "commands", command.id))


def _not_sent(command: Command) -> Problem:
    return Problem(
        503, NOT_SENT, "the broker did not take the command", command=command.id,
        headers=location("devices", command.device, "commands", command.id),
    )  # fmt: skip


def _iso(at: datetime | None) -> str:
    return "never" if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _operation(request: Request) -> Response:
    dynamodb = client("dynamodb")
    return reboot(
        request,
        devices=Devices(dynamodb, os.environ["DEVICES_TABLE"]),
        commands=Commands(dynamodb, os.environ["COMMANDS_TABLE"]),
        publisher=Publisher(iot_data()),
        clock=utc_now,
        offline_debounce_s=float(os.environ.get("OFFLINE_DEBOUNCE_S", OFFLINE_DEBOUNCE_S)),
    )


handler = lambda_handler(_operation, route="POST /devices/{device}/reboot")
