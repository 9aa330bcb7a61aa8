"""``POST /devices/{device}/reboot``: one reboot, now, later, or when the device comes back."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from cloud.auth.permissions import Role
from cloud.defaults import COMMAND_EXPIRY_WHEN_ONLINE_S
from cloud.domain.commands.command import Command
from cloud.domain.devices.device import Device
from cloud.http.command_handler import CommandFields, CommandRequest, CommandRoute
from cloud.http.gateway_events import Problem
from cloud.http.handler import Request
from contract.commands import RebootCommand


class RebootRequest(CommandRequest):
    """Request body of the reboot command."""

    force: bool = False  # even while a container is being replaced
    delay_s: Annotated[float, Field(ge=0, le=24 * 3600)] = 0.0  # at the earliest this long after now
    when_online: bool = False  # a device that is not there gets it when it comes back
    override_budget: bool = False  # for administrators: reboot beyond the device's limit per hour

    @property
    def lifetime_s(self) -> float:
        """Longer by default for one that waits for its device."""
        if self.when_online and "expires_in_s" not in self.model_fields_set:
            return COMMAND_EXPIRY_WHEN_ONLINE_S
        return self.expires_in_s


def _command(request: Request, device: Device, order: RebootRequest, common: CommandFields) -> Command:
    if order.override_budget and not request.holds(Role.ADMIN, device.groups):
        raise Problem(
            403,
            "role-missing",
            f"override_budget: {Role.ADMIN.canonical} is needed for this device",
            role=Role.ADMIN.canonical,
            groups=sorted(device.groups),
        )
    if order.delay_s >= order.lifetime_s:
        complaint = f"must be less than expires_in_s ({order.lifetime_s:g})"
        raise Problem(
            422,
            "invalid-field",
            f"delay_s: {complaint}",
            errors=[{"field": "delay_s", "message": complaint, "type": "less_than"}],
        )
    message = RebootCommand(
        **common,
        force=order.force,
        not_before=common["issued_at"] + timedelta(seconds=order.delay_s) if order.delay_s else None,
        override_budget=order.override_budget,
    )
    return Command.made_of(device.name, message, when_online=order.when_online)


ROUTE = CommandRoute("POST /devices/{device}/reboot", RebootRequest, _command)
handler = ROUTE.handler()
