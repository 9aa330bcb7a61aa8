"""The sweep: finishes every minute what is due. Nothing waits for it; reads show what is due already."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloud.aws.clients import client, iot_data
from cloud.aws.iot_data import Publisher
from cloud.aws.iot_registry import Registry
from cloud.aws.sqs import Queue
from cloud.clock import utc_now
from cloud.services.dispatch import Dispatcher
from cloud.services.group_membership import GroupMembership
from cloud.services.redelivery import Redelivery
from cloud.services.wake_ups import SendsMessages, wake_up
from cloud.tables.commands import Commands
from cloud.tables.devices import Devices
from cloud.tables.group_reboots import GroupReboots
from cloud.tables.memberships import Memberships
from cloud.telemetry.logs import log_context, log_event, start_logging
from cloud.telemetry.metrics import Metric, count
from cloud.wiring import submission

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


def wake_due(reboots: Sequence[str], queue: SendsMessages) -> int:
    """Wake every one of ``reboots``; return how many they are."""
    for reboot_id in reboots:
        wake_up(queue, reboot_id)
    return len(reboots)


def handler(event: object, context: Any) -> dict[str, int | None]:  # noqa: ARG001
    """Lambda's entry."""
    start_logging()
    dynamodb = client("dynamodb")
    commands = Commands(dynamodb, os.environ["COMMANDS_TABLE"])
    devices = Devices(dynamodb, os.environ["DEVICES_TABLE"])
    redelivery = Redelivery(Dispatcher(commands, Publisher(iot_data)))
    deployments = submission(context.invoked_function_arn)
    reboots = GroupReboots(dynamodb, os.environ["COMMANDS_TABLE"])
    queue = Queue(client("sqs"), os.environ["GROUP_REBOOT_QUEUE_URL"])
    mover = GroupMembership(Memberships(dynamodb, os.environ["DEVICES_TABLE"]), Registry(client("iot")))
    now = utc_now()
    return sweep(
        {
            "commands": lambda: commands.infer_due(
                now, waits=lambda command: redelivery.look(command, devices, now)
            ),
            "deployments": lambda: deployments.finish_stale(now),
            "memberships": mover.settle_all,
            "group_reboots": lambda: wake_due(reboots.due(now), queue),
        }
    )
