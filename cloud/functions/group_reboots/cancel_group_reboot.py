"""``POST /groups/{group}/reboots/{reboot}/cancel``: start no further device of a group reboot."""

import logging
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from cloud.aws.errors import Unavailable
from cloud.clock import Clock, utc_now
from cloud.domain.commands.group_reboot import GroupReboot, State
from cloud.domain.commands.group_reboot_steps import cancel
from cloud.http.gateway_events import Problem, Response
from cloud.http.group_reboot_view import summary, where
from cloud.http.handler import Request, lambda_handler
from cloud.http.reached_group_reboot import reached_group_reboot
from cloud.ports.messages import Queue
from cloud.services.wake_ups import wake_up
from cloud.tables.group_reboots import GroupReboots
from cloud.telemetry.logs import log_event
from cloud.wiring.group_reboots import group_reboots
from cloud.wiring.wake_ups import wake_ups

log = logging.getLogger(__name__)

_RACES = 8  # steps that may come before ours


class CancelRequest(BaseModel):
    """Optional request body of a cancellation; the audit keeps the reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None


def cancel_group_reboot(request: Request, *, reboots: GroupReboots, queue: Queue, clock: Clock) -> Response:
    """Answer 202 once nothing further will be started; a device that has its command cannot be called back.

    A body need not be. Cancelling again, or what is stopping already, changes nothing, so that an
    Idempotency-Key needs no memory here.

    Raises:
        Problem: 404 ``group-reboot-not-found``, 409 ``group-reboot-ended`` with its ``state``.
    """
    if request.body:
        request.parse(CancelRequest)
    request.idempotency()
    found, reboot = _cancelled(request, reboots, clock)
    wake_up(queue, reboot.id)
    warnings = []
    if reboot.active:
        names = ", ".join(sorted(reboot.active)[:10])
        more = len(reboot.active) - 10
        warnings.append(
            f"in flight, cannot be called back and are awaited: {names}"
            + (f" and {more} more" if more > 0 else "")
        )
    told = summary(reboot) | {"warnings": warnings}
    if reboot.state is found:
        return Response(202, told, where(reboot))
    before, after = {"state": found.value}, {"state": reboot.state.value}
    return Response(202, told, where(reboot), before=before, after=after)


def _cancelled(request: Request, reboots: GroupReboots, clock: Clock) -> tuple[State, GroupReboot]:
    """Return the state in which the group reboot was found, and what it is now."""
    for _ in range(_RACES):
        reboot = reached_group_reboot(request, reboots)
        if reboot.state.final:
            raise Problem(
                409, "group-reboot-ended", f"{reboot.id} has ended: {reboot.state}", state=reboot.state.value
            )
        step = cancel(reboot, request.caller.subject)
        if step is None:
            return reboot.state, reboot
        if reboots.save(step, clock()):
            after = step.after
            log_event(log, "group reboot", group_reboot=after.id, group=after.group, state=after.state)
            return reboot.state, after
    raise Unavailable(f"{request.path['reboot']} is contended")


def _operation(request: Request) -> Response:
    return cancel_group_reboot(request, reboots=group_reboots(), queue=wake_ups(), clock=utc_now)


handler = lambda_handler(_operation, route="POST /groups/{group}/reboots/{reboot}/cancel")
