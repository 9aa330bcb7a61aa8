"""``POST /groups/{group}/reboots``: reboot a group's devices in waves, as they prove themselves back."""

import logging
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cloud.clock import Clock, new_id, utc_now
from cloud.defaults import COMMAND_EXPIRY_S
from cloud.domain.commands.group_reboot import MAX_CONCURRENT, STOP_AFTER_FAILURES_MAX, GroupReboot
from cloud.http.gateway_events import Problem, Response
from cloud.http.group_reboot_view import submitted, where
from cloud.http.handler import Request, lambda_handler
from cloud.ports.messages import Queue
from cloud.services.wake_ups import wake_up
from cloud.tables.devices import Devices
from cloud.tables.group_reboots import GroupReboots, StillRunning
from cloud.telemetry.logs import log_event
from cloud.wiring.devices import devices
from cloud.wiring.group_reboots import group_reboots
from cloud.wiring.wake_ups import wake_ups
from contract.defaults import COMMAND_EXPIRY_MAX_S

log = logging.getLogger(__name__)


class GroupRebootRequest(BaseModel):
    """Request body of a group reboot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    max_concurrent: Annotated[int, Field(ge=1, le=MAX_CONCURRENT)] = 1
    #: The failure that stops it: 1 is the first.
    stop_after_failures: Annotated[int, Field(ge=1, le=STOP_AFTER_FAILURES_MAX)] = 1
    force: bool = False  # even while a container is being replaced
    #: Each device's latest start, counted from when its turn came.
    expires_in_s: Annotated[float, Field(ge=1, le=COMMAND_EXPIRY_MAX_S)] = COMMAND_EXPIRY_S


def reboot_group(
    request: Request, *, devices: Devices, reboots: GroupReboots, queue: Queue, clock: Clock
) -> Response:
    """Answer 202 with the Location where it is followed; no device was started yet.

    Raises:
        Problem: 404 ``group-not-found`` where no device is enrolled in it, 409
            ``group-reboot-running`` with the ``group_reboot`` that is.
    """
    group = request.path["group"]
    wish = request.parse(GroupRebootRequest)
    request.require_group((group,))
    idempotency = request.idempotency()
    now = clock()
    reboot = reboots.by_idempotency_key(idempotency, now) if idempotency else None
    if reboot is None:
        names, _ = devices.names_after(None, 1, group)
        if not names:
            raise Problem(404, "group-not-found", f"no device is enrolled in a group {group}")
        reboot = GroupReboot(
            id=new_id("reboot", now), group=group, requested_at=now,
            requested_by=request.caller.subject, **wish.model_dump(),
        )  # fmt: skip
        try:
            reboot = reboots.create(reboot, idempotency)
        except StillRunning as running:
            raise Problem(
                409, running.code, f"{running.id} is not done with the group {group}", group_reboot=running.id
            ) from running
        log_event(log, "group reboot", group_reboot=reboot.id, group=group, state=reboot.state)
    wake_up(queue, reboot.id)
    told = submitted(reboot)
    limits = ("max_concurrent", "stop_after_failures", "force", "expires_in_s")
    after = {"group_reboot": reboot.id, **{name: told[name] for name in limits}}
    return Response(202, told, where(reboot), after=after)


def _operation(request: Request) -> Response:
    return reboot_group(request, devices=devices(), reboots=group_reboots(), queue=wake_ups(), clock=utc_now)


handler = lambda_handler(_operation, route="POST /groups/{group}/reboots")
