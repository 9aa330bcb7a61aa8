"""Recorder of reports and command results, in batches from the queue that their rules feed.

A record that fails is returned alone (partial batch response) and comes again, at last to the dead-letter
queue. A malformed one would fail for ever: it is logged, counted and dropped.
"""

import json
import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from cloud.clock import Clock, utc_now
from cloud.domain.deployments.deployment_outcomes import DeviceOutcome, outcome_of, refusal_of
from cloud.domain.devices.device import Device
from cloud.domain.timestamps import to_ms
from cloud.ports.messages import Queue
from cloud.services.nucleus_registration import GroupNuclei
from cloud.services.reboot_proofs import RebootProofs
from cloud.services.rule_messages import Malformed, RuleMessage, not_enrolled, refuse
from cloud.services.wake_ups import wake_up
from cloud.tables.commands import Commands
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices, Effect
from cloud.tables.proofs import Proofs
from cloud.telemetry.logs import log_context, log_event, start_logging
from cloud.telemetry.metrics import Metric, measure
from cloud.wiring.commands import commands
from cloud.wiring.deployments import deployments
from cloud.wiring.groups import groups
from cloud.wiring.history import devices_with_history
from cloud.wiring.proofs import proofs
from cloud.wiring.wake_ups import wake_ups
from contract.commands import CommandState
from contract.topics import command_result

log = logging.getLogger(__name__)


def record_batch(
    records: list[Mapping[str, Any]],
    *,
    devices: Devices,
    commands: Commands,
    proofs: Proofs,
    deployments: Deployments,
    group_reboots: Queue,
    groups: GroupNuclei,
    clock: Clock = utc_now,
) -> list[str]:
    """Apply the records in order; return the message ids of those that must come again.

    How old each message was when it was done is measured, in one line for the batch.
    ``group_reboots`` is woken when a command that is part of one came to its end. ``groups`` learns which
    nucleus a group is of.
    """
    reboots = RebootProofs(devices, proofs, group_reboots)
    again: list[str] = []
    ages_ms: list[int] = []
    for record in records:
        with log_context(message_id=record["messageId"]):
            try:
                received = _received(record["body"])
                if received.topic.startswith("cmd/"):
                    _record_result(received, devices, commands, reboots)
                else:
                    _record_report(received, devices, deployments, reboots, groups)
                ages_ms.append(max(0, to_ms(clock()) - to_ms(received.received_at)))
            except Malformed as malformed:
                refuse(malformed)
            except Exception as error:  # noqa: BLE001 - SQS gets the answer: this record again, the others not
                log_event(log, "record failed", level=logging.ERROR, error=error)
                again.append(record["messageId"])
    measure(Metric.INGESTION_AGE_MS, ages_ms)
    return again


def _received(body: str) -> RuleMessage:
    try:
        event = json.loads(body)
    except ValueError:
        raise Malformed("", len(body), "not a rule's event") from None
    return RuleMessage.of(event)


def _record_result(
    received: RuleMessage, devices: Devices, commands: Commands, reboots: RebootProofs
) -> None:
    result, device = received.result(), received.device
    row: Device | None = None
    if (
        result.state is CommandState.IN_PROGRESS
        and result.boot_id_before is not None
        and received.topic == command_result(device, "reboot")
    ):  # before the ledger has it: what stops in between comes again, and notes it in either case
        row = devices.begin_reboot(device, result.id, result.boot_id_before, received.received_at)
    moved = commands.apply_result(device, result, received.received_at)
    log_event(
        log, "command result", device=device, command=result.id, topic=received.topic,
        state=result.state, effect="ignored" if moved is None else Effect.CHANGED,
    )  # fmt: skip
    if moved is not None and moved.part_of is not None and moved.state.final:
        wake_up(reboots.group_reboots, moved.part_of)
    if row is not None:  # its next boot was reported before this, which came through the queue
        reboots.look(row)


def _record_report(
    received: RuleMessage,
    devices: Devices,
    deployments: Deployments,
    reboots: RebootProofs,
    groups: GroupNuclei,
) -> None:
    news = received.report()
    applied = devices.apply(news)
    if applied.effect is Effect.NOT_ENROLLED:
        not_enrolled(news.device, received.topic)
    # For an old report too: when this very message was applied and the next line failed, it comes again.
    row = applied.device
    if row is not None:
        reboots.look(row)
    told = None if row is None else _outcome(row)
    refused = None if row is None else refusal_of(row.desired)
    log_event(
        log, "report", device=news.device, topic=received.topic, effect=applied.effect,
        deployment=None if told is None else told.deployment_id, outcome=None if told is None else told.state,
        refused=None if refused is None else refused.deployment_id,
    )  # fmt: skip
    for outcome in (told, refused):
        if row is not None and outcome is not None:
            # Of the row it was read from.
            order = {"epoch": row.enrolled_at.isoformat(), "sequence": row.writes}
            heard_at = row.last_report_at or received.received_at
            deployments.record_outcome(outcome.deployment_id, row.name, outcome.to_dict() | order, heard_at)
    if row is not None:
        groups.learn(row)


def _outcome(device: Device) -> DeviceOutcome | None:
    """Return the outcome of the whole row; a named application that is not reported yet does not run."""
    if device.application_names is None:
        return None
    unheard: dict[str, Mapping[str, Any]] = {name: {} for name in device.application_names}
    return outcome_of(device.desired, unheard | dict(device.applications))


@cache
def _groups() -> GroupNuclei:
    """Return what this process knows of groups, kept from batch to batch."""
    return GroupNuclei(groups())


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Lambda's entry; answers with the records that must come again."""
    start_logging()
    again = record_batch(
        event["Records"],
        devices=devices_with_history(),
        commands=commands(),
        proofs=proofs(),
        deployments=deployments(),
        group_reboots=wake_ups(),
        groups=_groups(),
    )
    return {"batchItemFailures": [{"itemIdentifier": message} for message in again]}
