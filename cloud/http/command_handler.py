"""The handler that all command routes share: permission, presence of the device, one answer.

A route is its key, its body, and a function that makes a command of that body. The command is stored in the
ledger first; the answer is 202 with the command's Location once the broker has it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Generic, TypedDict, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cloud.clock import Clock, new_id, utc_now
from cloud.defaults import COMMAND_EXPIRY_S, OFFLINE_DEBOUNCE_S
from cloud.domain.commands.command import Command
from cloud.domain.devices.device import Device
from cloud.domain.devices.presence import state
from cloud.domain.timestamps import from_ms, to_ms
from cloud.environment import ENVIRONMENT
from cloud.http.command_view import as_made
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler, location
from cloud.http.reached_device import reached_device
from cloud.ports.bucket import Bundles
from cloud.services.dispatch import Dispatcher, NotSent, TooLarge
from cloud.tables.devices import Devices
from cloud.wiring.devices import devices
from cloud.wiring.dispatcher import dispatcher
from contract.defaults import COMMAND_EXPIRY_MAX_S


class CommandRequest(BaseModel):
    """The fields that the body of every command has."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    expires_in_s: Annotated[float, Field(ge=1, le=COMMAND_EXPIRY_MAX_S)] = COMMAND_EXPIRY_S

    @property
    def lifetime_s(self) -> float:
        """How long after now the device may start at the latest."""
        return self.expires_in_s


class CommandFields(TypedDict):
    """The fields that all commands share, as arguments of a contract message."""

    id: str
    issued_at: datetime
    expires_at: datetime
    requested_by: str
    reason: str


Body = TypeVar("Body", bound=CommandRequest)


@dataclass(frozen=True)
class CommandRoute(Generic[Body]):
    """One route: its key in the route table, its body, and the command that it makes of that.

    ``make`` may raise a ``Problem``.
    """

    key: str
    body: type[Body]
    make: Callable[[Request, Device, Body, CommandFields], Command]

    def answer(
        self,
        request: Request,
        *,
        devices: Devices,
        dispatcher: Dispatcher,
        clock: Clock,
        offline_debounce_s: float = OFFLINE_DEBOUNCE_S,
    ) -> Response:
        """Issue the command; with an Idempotency-Key that was used before, answer as then.

        Raises:
            Problem: 404 ``device-not-found`` or ``application-not-found``, 409 ``device-offline`` with
                since when, 422 ``command-too-large``, 503 ``not-sent``.
        """
        order = request.parse(self.body)
        device = reached_device(request, devices)
        idempotency = request.idempotency()
        now = from_ms(to_ms(clock()))
        made = self.make(request, device, order, _common(request, order, now))
        try:
            earlier = dispatcher.commands.by_idempotency_key(idempotency, now) if idempotency else None
            if earlier is not None:
                dispatcher.send(earlier, now)
                return _accepted(earlier)
            warnings = (
                *_reachable(device, made, now, offline_debounce_s),
                *_known(device, request.path.get("app")),
            )
            command = dispatcher.issue(replace(made, warnings=warnings), idempotency)
        except NotSent as error:
            raise Problem(
                503, error.code, "the broker did not take the command", command=error.command.id,
                headers=_location(error.command),
            ) from error  # fmt: skip
        except TooLarge as error:
            raise Problem(422, error.code, f"reason: {error}", field="reason") from None
        return _accepted(command)

    def handler(
        self, uploads: Callable[[], Bundles] | None = None
    ) -> Callable[[dict[str, Any], object], dict[str, Any]]:
        """Return the Lambda entry, wired by the environment; ``uploads`` is made at its first need."""

        def operation(request: Request) -> Response:
            return self.answer(
                request,
                devices=devices(),
                dispatcher=dispatcher(uploads() if uploads else None),
                clock=utc_now,
                offline_debounce_s=ENVIRONMENT.offline_debounce_s,
            )

        return lambda_handler(operation, route=self.key)


def _common(request: Request, order: CommandRequest, now: datetime) -> CommandFields:
    return CommandFields(
        id=new_id("cmd", now),
        issued_at=now,
        expires_at=now + timedelta(seconds=order.lifetime_s),
        requested_by=request.caller.subject,
        reason=order.reason,
    )


def _reachable(device: Device, command: Command, now: datetime, offline_debounce_s: float) -> tuple[str, ...]:
    """Return the warnings of a command that may go out; refuse one that the device would not receive."""
    presence, reason, since = state(device, now, offline_debounce_s=offline_debounce_s)
    when = f" since {_iso(since)}" if since else ""
    if presence == "online":
        return ()
    if presence == "stale":
        return (f"the device is connected and has not reported{when}: it may not act",)
    if command.when_online:
        until = _iso(command.expires_at)
        return (f"the device is {presence}{when}: delivered when it comes back, until {until}",)
    raise Problem(
        409, "device-offline", f"the device is {presence}{when}: {reason}", state=presence, since=since
    )


def _known(device: Device, application: str | None) -> tuple[str, ...]:
    """Refuse an application that the device does not report; warn where it never reported any."""
    if application is None or application in (device.application_names or ()):
        return ()
    if device.application_names is None:
        return (f"the device has not reported its applications: {application} may not be one of them",)
    raise Problem(404, "application-not-found", f"{device.name} has no application {application}")


def _accepted(command: Command) -> Response:
    return Response(
        202,
        as_made(command),
        _location(command),
        after={"command": command.id, "expires_at": command.expires_at, **command.parameters},
    )


def _location(command: Command) -> dict[str, str]:
    return location("devices", command.device, "commands", command.id)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
