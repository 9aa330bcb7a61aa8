"""The sweep: finishes every minute what is due. Nothing waits for it; reads show what is due already."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloud.aws.account import Account
from cloud.clock import utc_now
from cloud.ports.messages import Queue
from cloud.services.redelivery import Redelivery
from cloud.services.wake_ups import wake_up
from cloud.telemetry.logs import log_context, log_event, start_logging
from cloud.telemetry.metrics import Metric, count
from cloud.wiring.commands import commands
from cloud.wiring.devices import devices
from cloud.wiring.dispatcher import dispatcher
from cloud.wiring.group_membership import group_membership
from cloud.wiring.group_reboots import group_reboots
from cloud.wiring.submission import submission
from cloud.wiring.wake_ups import wake_ups

log = logging.getLogger(__name__)


def sweep(duties: Mapping[str, Callable[[], int]]) -> dict[str, int | None]:
    """Run every task and return how much each finished; None for one that failed, which stops no other.

    The number of failures is counted each time, 0 too: where the metric is missing, no sweep ran.
    """
    finished: dict[str, int | None] = {}
    for name, duty in duties.items():
        try:
            finished[name] = duty()
        except Exception as error:  # noqa: BLE001 - the next minute tries again; the metric is looked at
            log_event(log, "sweep task failed", level=logging.ERROR, error=error, task=name)
            finished[name] = None
    with log_context(**finished):
        log_event(log, "swept")
    count(Metric.SWEEP_FAILURES, sum(number is None for number in finished.values()))
    return finished


def wake_due(reboots: Sequence[str], queue: Queue) -> int:
    """Wake every one of ``reboots``; return how many they are."""
    for reboot_id in reboots:
        wake_up(queue, reboot_id)
    return len(reboots)


def handler(event: object, context: Any) -> dict[str, int | None]:  # noqa: ARG001
    """Lambda's entry."""
    start_logging()
    ledger, redelivery, rows, queue = commands(), Redelivery(dispatcher()), devices(), wake_ups()
    unfinished = submission(Account.of_function(context.invoked_function_arn))
    now = utc_now()
    return sweep(
        {
            "commands": lambda: ledger.infer_due(
                now, waits=lambda command: redelivery.look(command, rows, now)
            ),
            "deployments": lambda: unfinished.finish_stale(now),
            "memberships": group_membership().settle_all,
            "group_reboots": lambda: wake_due(group_reboots().due(now), queue),
        }
    )
