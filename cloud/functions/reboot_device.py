"""``POST /devices/{device}/reboot``: one reboot command, in the ledger before it is on its way."""

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cloud.aws.clients import client, iot_data
from cloud.aws.iot_data import Publisher
from cloud.clock import Clock, new_id, utc_now
from cloud.command import Command
from cloud.device import Device
from cloud.dispatch import Dispatcher, NotSent, SendsCommands
from cloud.http import Problem, Request, Response, lambda_handler, location
from cloud.presence import Seen, state
from cloud.tables.commands import Commands
from cloud.tables.devices import Devices
from contract.commands import CommandState, RebootCommand
from contract.defaults import COMMAND_EXPIRY_MAX_S, COMMAND_EXPIRY_S, OFFLINE_DEBOUNCE_S


class RebootRequest(BaseModel):
    """What an operator sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    force: bool = False  # even while a container is being replaced
    expires_in_s: Annotated[float, Field(ge=1, le=COMMAND_EXPIRY_MAX_S)] = COMMAND_EXPIRY_S


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
    dispatcher = Dispatcher(commands, publisher)
    try:
        if earlier is not None:
            dispatcher.send(earlier, now)
            return _accepted(earlier)
        warnings = _reachable(state(device, now, offline_debounce_s=offline_debounce_s))
        message = _message(wish, request.caller.subject, now)
        return _accepted(dispatcher.issue(name, message, warnings=warnings, idempotency=idempotency))
    except NotSent as error:
        raise _not_sent(error.command) from error


def _message(wish: RebootRequest, requested_by: str, now: datetime) -> RebootCommand:
    return RebootCommand(
        id=new_id("cmd", now),
        issued_at=now,
        expires_at=now + timedelta(seconds=wish.expires_in_s),
        requested_by=requested_by,
        reason=wish.reason,
        force=wish.force,
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
        **command.parameters,
        "warnings": list(command.warnings),
    }
    return Response(202, body, location("devices", command.device, "commands", command.id))


def _not_sent(command: Command) -> Problem:
    return Problem(
        503, NotSent.code, "the broker did not take the command", command=command.id,
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
