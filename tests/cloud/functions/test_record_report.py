"""Reports and command results, batch by batch."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cloud.aws.errors import Unavailable
from cloud.functions.events.record_report import record_batch
from cloud.services.nucleus_registration import GroupNuclei
from cloud.tables.commands import Commands
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.tables.proofs import Proofs
from contract.commands import CommandResult, CommandState
from contract.names import Nucleus
from contract.reports import DesiredStatus, DeviceReport, Rollback, split
from tests.support.cloud.api import NOW
from tests.support.cloud.devices import (
    a_report,
    a_rule_event,
    a_status,
    at,
    devices_table,
    recorded,
)
from tests.support.cloud.emf import assert_emf, emitted, lines
from tests.support.cloud.fakes import FakeGroups, FakeQueue

REPORT, RESULT = "dt/fleetgrass/robot-7/report", "cmd/fleetgrass/robot-7/reboot/res"
DEPLOYMENT = "dep-00000000000000000000000001"
COMMAND = "cmd-00000000000000000000000001"


ORDER = ("epoch", "sequence")


class Ledger(Commands):
    def __init__(self) -> None:
        self.results: list[tuple[str, str, CommandState]] = []

    def apply_result(self, device: str, result: CommandResult, received_at: datetime) -> None:
        self.results.append((device, result.id, result.state))


class Outcomes(Deployments):
    def __init__(self) -> None:
        self.states: list[str] = []
        self.orders: list[tuple[str, int]] = []
        self.of_others: list[tuple[str, dict[str, Any]]] = []
        self.broken = False

    def record_outcome(
        self, deployment_id: str, device: str, outcome: Mapping[str, Any], received_at: datetime
    ) -> bool:
        if self.broken:
            raise Unavailable("throttled")
        assert device == "robot-7"
        if deployment_id != DEPLOYMENT:
            self.of_others.append((deployment_id, {n: outcome[n] for n in outcome if n not in ORDER}))
            return True
        self.states.append(outcome["state"])
        self.orders.append((outcome["epoch"], outcome["sequence"]))
        return True


@dataclass
class ReportHarness:
    devices: Devices
    ledger: Ledger = field(default_factory=Ledger)
    outcomes: Outcomes = field(default_factory=Outcomes)
    now: datetime = NOW
    nuclei: FakeGroups = field(default_factory=FakeGroups)

    def __post_init__(self) -> None:
        self.groups = GroupNuclei(self.nuclei, lambda: self.now)

    def batch(self, *bodies: object) -> list[str]:
        """Record a batch of rule events (or raw bodies); message ids are their positions."""
        (record,) = recorded("sqs-reports")["Records"]
        records = [
            record | {"messageId": str(i), "body": body if isinstance(body, str) else json.dumps(body)}
            for i, body in enumerate(bodies)
        ]
        return record_batch(
            records,
            devices=self.devices,
            commands=self.ledger,
            proofs=Proofs(self.devices._table, "none"),  # nothing reboots here
            deployments=self.outcomes,
            group_reboots=FakeQueue(),
            groups=self.groups,
            clock=lambda: self.now,
        )


@pytest.fixture
def harness(dynamodb: Any) -> ReportHarness:
    table, _ = devices_table(dynamodb)
    table.create("robot-7", "line-3", now=NOW)
    return ReportHarness(table)


def event(report: DeviceReport, received: float | None = None) -> dict[str, Any]:
    return a_rule_event(REPORT, report.to_json(), report.sequence if received is None else received)


def working(sequence: int, state: str, desired: str = "CONVERGING", **status: Any) -> dict[str, Any]:
    wish = DesiredStatus.model_validate({"state": desired, "revision": 4, "deployment_id": DEPLOYMENT})
    return event(a_report(sequence, a_status(state=state, **status), desired=wish))


def test_a_report_and_a_result_reach_their_tables(harness: ReportHarness) -> None:
    result = CommandResult(id=COMMAND, state=CommandState.SUCCEEDED, at=NOW)

    again = harness.batch(event(a_report(1, a_status())), a_rule_event(RESULT, result.to_json()))

    assert again == []
    device = harness.devices.get("robot-7")
    assert device is not None
    assert device.applications["web"]["state"] == "RUNNING"
    assert harness.ledger.results == [("robot-7", COMMAND, CommandState.SUCCEEDED)]
    assert harness.outcomes.states == []  # it works on no deployment


def test_a_deployment_is_followed_from_report_to_report_and_heartbeats_say_nothing(
    harness: ReportHarness,
) -> None:
    rollback = Rollback(from_image="v3", to_image="v2", code="unhealthy", reason="no answer")
    harness.batch(working(1, "PULLING"), working(2, "RUNNING"), working(3, "RUNNING", "CONVERGED"))
    harness.batch(working(4, "RUNNING", "CONVERGED"), working(5, "ROLLED_BACK", rollback=rollback))

    assert harness.outcomes.states == ["IN_PROGRESS", "IN_PROGRESS", "RUNNING", "ROLLED_BACK"]
    sequences = [sequence for _, sequence in harness.outcomes.orders]
    assert sequences == sorted(set(sequences))


def test_a_document_that_cannot_be_had_is_no_failure_of_the_one_in_force(harness: ReportHarness) -> None:
    on_its_way = {"document_sha256": "a" * 64, "wanted_sha256": "b" * 64}
    failed = {"state": "FAILED", "code": "desired-unreadable", "revision": 4, "deployment_id": DEPLOYMENT}
    wish = DesiredStatus.model_validate(failed | on_its_way)
    harness.batch(working(1, "RUNNING", "CONVERGED"))

    harness.batch(event(a_report(2, a_status(), desired=wish)))

    assert harness.outcomes.states == ["RUNNING"]


def test_a_refusal_reaches_the_deployment_that_was_refused_and_the_one_in_force_keeps_its_outcome(
    harness: ReportHarness,
) -> None:
    refused = (Path(__file__).parents[2] / "contract/golden/v1/report-refused.json").read_bytes()
    told = json.loads(refused)["desired"]["refused"]
    harness.batch(working(1, "RUNNING", "CONVERGED"))

    again = harness.batch(a_rule_event(REPORT, refused, 2), a_rule_event(REPORT, refused, 2))

    assert again == []
    assert harness.outcomes.states == ["RUNNING"]
    expected = {
        "state": "FAILED", "code": "policy-forbids", "message": told["message"], "refused": True,
    }  # fmt: skip
    assert harness.outcomes.of_others[0] == (told["deployment_id"], expected)


def test_a_deployment_runs_only_when_every_named_application_is_heard_of(harness: ReportHarness) -> None:
    wish = DesiredStatus(state="CONVERGED", revision=4, deployment_id=DEPLOYMENT)
    statuses = [a_status(name, message="x" * 400) for name in "abcd"]
    parts = split(a_report(1, *statuses, desired=wish), max_bytes=1_400)
    assert len(parts) > 1

    harness.batch(*(event(part) for part in parts))

    assert harness.outcomes.states == ["IN_PROGRESS"] * (len(parts) - 1) + ["RUNNING"]


def test_an_outcome_that_could_not_be_stored_is_stored_when_the_record_comes_again(
    harness: ReportHarness,
) -> None:
    harness.outcomes.broken = True
    assert harness.batch(working(1, "RUNNING", "CONVERGED")) == ["0"]
    harness.outcomes.broken = False

    assert harness.batch(working(1, "RUNNING", "CONVERGED")) == []
    assert harness.outcomes.states == ["RUNNING"]


def test_only_what_failed_comes_again(harness: ReportHarness) -> None:
    harness.outcomes.broken = True

    again = harness.batch(event(a_report(1, a_status())), working(2, "PULLING"), event(a_report(3)))

    assert again == ["1"]
    device = harness.devices.get("robot-7")
    assert device is not None
    assert device.sequence == 3


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        "[]",
        "null",
        a_rule_event(REPORT, b"\xff\xff"),
        a_rule_event(REPORT, b"{}"),
        a_rule_event(REPORT, {"v": 2}),
        a_rule_event(REPORT, b'{"epoch":NaN}'),
        a_rule_event(REPORT, a_report(1).to_dict() | {"sequence": 10**40}),
        a_rule_event(REPORT, a_report(1, interval_s=1e-200).to_json()),
        a_rule_event(REPORT, a_report(1).to_dict() | {"at": "0001-01-01T00:00:00+14:00"}),
        a_rule_event(RESULT, b"{}"),
        a_rule_event(RESULT, {"id": "nonsense", "state": "SUCCEEDED", "at": "2026-11-22T12:00:00Z"}),
        a_rule_event("dt/fleetgrass/a b/report", a_report(1).to_json()),
        a_rule_event("elsewhere", a_report(1).to_json()),
    ],
)
def test_a_malformed_message_never_poisons_the_queue(
    harness: ReportHarness, body: object, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    before = harness.devices.get("robot-7")

    assert harness.batch(body) == []

    assert harness.devices.get("robot-7") == before
    assert len(caplog.messages) == 1
    assert emitted(capsys) == {"malformed_messages": [1]}


def test_a_batch_tells_how_old_its_messages_were_in_one_line_and_a_clock_behind_makes_none_younger(
    harness: ReportHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.now = at(5)
    result = CommandResult(id=COMMAND, state=CommandState.SUCCEEDED, at=NOW)

    harness.batch(
        event(a_report(1), received=2),
        "not a rule's event",
        a_rule_event(RESULT, result.to_json(), 4.75),
        event(a_report(3), received=6),
    )

    ages, refused = lines(capsys)[1], "malformed_messages"
    assert_emf(ages)
    assert ages["ingestion_age_ms"] == [3000, 250, 0]
    assert refused not in ages


def test_what_could_not_be_recorded_has_no_age_yet(
    harness: ReportHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.outcomes.broken = True

    assert harness.batch(working(1, "RUNNING")) == ["0"]

    assert emitted(capsys) == {}


def test_each_record_is_a_line_with_its_message_its_device_and_what_it_did_and_nothing_it_said(
    harness: ReportHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="cloud")
    said = working(1, "FAILED", code="hunter2", message="KEY=hunter2")
    result = CommandResult(id=COMMAND, state=CommandState.FAILED, at=NOW, code="hunter2", message="hunter2")

    harness.batch(said, a_rule_event(RESULT, result.to_json()), "hunter2")

    report, answered, refused = caplog.records
    assert report.getMessage() == (
        f"report: device=robot-7 topic={REPORT} effect=changed deployment={DEPLOYMENT} outcome=FAILED"
        " message_id=0"
    )
    assert answered.getMessage() == (
        f"command result: device=robot-7 command={COMMAND} topic={RESULT} state=FAILED effect=ignored"
        " message_id=1"
    )
    assert refused.getMessage().endswith('reason="not a rule\'s event" message_id=2')
    assert "hunter2" not in "".join(str(vars(record)) for record in caplog.records)


def test_a_report_of_a_newer_agent_is_heard(harness: ReportHarness) -> None:
    newer = json.loads(a_report(1, a_status()).to_json())
    newer["mood"] = "sunny"
    newer["applications"][0]["gpu_percent"] = 3

    assert harness.batch(a_rule_event(REPORT, newer, 1)) == []
    device = harness.devices.get("robot-7")
    assert device is not None
    assert device.last_report_at == at(1)


def test_a_stranger_is_logged_and_not_given_back(
    harness: ReportHarness, caplog: pytest.LogCaptureFixture
) -> None:
    assert harness.batch(a_rule_event("dt/fleetgrass/ghost/report", a_report(1).to_json())) == []
    assert "device=ghost" in caplog.text


def lite(sequence: int, **more: Any) -> dict[str, Any]:
    return event(a_report(sequence, a_status(), nucleus="lite", **more))


def test_a_group_of_unknown_nucleus_becomes_what_its_first_device_says_and_stays_so(
    harness: ReportHarness,
) -> None:
    harness.devices.create("robot-8", "line-3", now=NOW)
    assert harness.batch(event(a_report(1, a_status()))) == []
    assert harness.nuclei.nuclei == {}

    assert harness.batch(lite(2)) == []
    topic = REPORT.replace("robot-7", "robot-8")
    classic = a_rule_event(topic, a_report(1, a_status(), nucleus="classic").to_json(), 3)
    assert harness.batch(classic) == []

    assert harness.nuclei.nuclei == {"line-3": Nucleus.LITE}


def test_the_registry_is_asked_once_an_hour_for_a_group_whatever_its_devices_say(
    harness: ReportHarness,
) -> None:
    for number in range(1, 20):
        harness.batch(lite(number, engine=f"27.{number}"))

    assert harness.nuclei.asked == ["line-3"]


def test_a_nucleus_that_could_not_be_learnt_costs_no_report_and_is_learnt_with_the_next_change(
    harness: ReportHarness,
) -> None:
    harness.nuclei.broken = Unavailable("throttled")
    assert harness.batch(lite(1)) == []

    harness.nuclei.broken = None
    assert harness.batch(lite(2, engine="28.0")) == []

    assert harness.nuclei.nuclei == {"line-3": Nucleus.LITE}
