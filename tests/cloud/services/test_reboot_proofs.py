"""A reboot whose own word was lost is proven by the device's next boot, and by nothing else."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from cloud.aws.errors import Unavailable
from cloud.domain.commands.command import Command
from cloud.functions.events import record_connection
from cloud.functions.events.record_report import record_batch
from cloud.http.command_view import detail
from cloud.services.nucleus_registration import GroupNuclei
from cloud.services.reboot_proofs import RebootProofs
from cloud.tables.commands import Commands
from cloud.tables.devices import Devices
from cloud.tables.proofs import Proofs
from contract.commands import CommandResult, CommandState, RebootCommand
from contract.events import ConnectionEvent
from contract.topics import command_result
from edge.defaults import REBOOT_GRACE_S
from tests.cloud.functions.test_record_report import Outcomes
from tests.support.cloud.api import COMMANDS, NOW, Watched, empty
from tests.support.cloud.devices import (
    Calls,
    a_connection_event,
    a_report,
    a_rule_event,
    a_status,
    at,
    devices_table,
)
from tests.support.cloud.fakes import FakeGroups, FakeQueue
from tests.support.edge import fakes as robots

State = CommandState
OLD, NEW, OLDER = "boot-1", "boot-2", "boot-0"
FIRST, SECOND = "cmd-00000000000000000000000001", "cmd-00000000000000000000000002"
PART_OF = "grb-00000000000000000000000001"


@dataclass
class ProofHarness:
    """robot-7, which was told to reboot, and the functions that hear it."""

    devices: Devices
    commands: Commands
    proofs: Proofs
    calls: Calls
    ledger_calls: Calls
    queue: FakeQueue = field(default_factory=FakeQueue)

    def ordered(self, command: str = FIRST, part_of: str | None = None) -> None:
        order = RebootCommand(
            id=command, issued_at=NOW, expires_at=NOW + timedelta(minutes=15), requested_by="ada",
            reason="stuck",
        )  # fmt: skip
        self.commands.create(Command.made_of("robot-7", order, part_of=part_of))

    def says(self, received: float, state: State, command: str = FIRST, **more: Any) -> list[str]:
        result = CommandResult(id=command, state=state, at=at(received), **more)
        return self._record(a_rule_event(command_result("robot-7", "reboot"), result.to_json(), received))

    def begins(self, received: float, command: str = FIRST, boot_id: str = OLD) -> list[str]:
        return self.says(received, State.IN_PROGRESS, command, boot_id_before=boot_id)

    def reports(self, received: float, sequence: int, boot_id: str, **more: Any) -> list[str]:
        report = a_report(sequence, a_status(), boot_id=boot_id, **more)
        return self._record(a_rule_event("dt/fleetgrass/robot-7/report", report.to_json(), received))

    def hello(self, received: float, sequence: int, boot_id: str, **more: Any) -> list[str]:
        event = a_connection_event(sequence, boot_id=boot_id, **more)
        record_connection.record(
            a_rule_event("dt/fleetgrass/robot-7/connection", event.to_json(), received),
            self.devices,
            lambda _: None,
            RebootProofs(self.devices, self.proofs, self.queue),
        )
        return []

    def hears(self, device: robots.AgentHarness, received: float) -> None:
        """Take everything that an agent has published up to now, once more too."""
        for topic, payload in device.link.published:
            if topic.endswith("/connection"):
                event = ConnectionEvent.from_json(payload)
                self.hello(received, event.sequence, event.boot_id, epoch=event.epoch)
            else:
                self._record(a_rule_event(topic, payload, received))

    def command(self, command: str = FIRST) -> Command:
        found = self.commands.get("robot-7", command)
        assert found is not None
        return found

    def stands(self, command: str = FIRST, now: float = 600) -> tuple[str, bool]:
        shown = detail(self.command(command), at(now))
        return shown["state"], shown["inferred"]

    def _record(self, event: dict[str, Any]) -> list[str]:
        return record_batch(
            [{"messageId": "1", "body": json.dumps(event)}],
            devices=self.devices, commands=self.commands, proofs=self.proofs, deployments=Outcomes(),
            group_reboots=self.queue, groups=GroupNuclei(FakeGroups()), clock=lambda: NOW,
        )  # fmt: skip


@pytest.fixture
def harness(table: Any) -> ProofHarness:
    """The device runs its old boot and was heard."""
    empty(table, COMMANDS)
    devices, calls = devices_table(table)
    devices.create("robot-7", "line-3", now=NOW)
    ledger_calls = Calls()
    ledger = Watched(table, before=ledger_calls.append)
    harness = ProofHarness(devices, Commands(ledger, COMMANDS), Proofs(ledger, COMMANDS), calls, ledger_calls)
    harness.ordered()
    harness.reports(1, 1, OLD)
    return harness


def by_hello(harness: ProofHarness, received: float, sequence: int, boot_id: str) -> list[str]:
    return harness.hello(received, sequence, boot_id)


def by_report(harness: ProofHarness, received: float, sequence: int, boot_id: str) -> list[str]:
    return harness.reports(received, sequence, boot_id)


Heard = Callable[[ProofHarness, float, int, str], list[str]]
EITHER = pytest.mark.parametrize("heard", [by_hello, by_report])


@EITHER
def test_the_next_boot_proves_a_reboot_until_the_device_says_so_itself(
    harness: ProofHarness, heard: Heard
) -> None:
    harness.begins(2)
    assert harness.stands() == ("IN_PROGRESS", False)

    heard(harness, 30, 2, NEW)
    assert harness.stands(now=89) == ("IN_PROGRESS", False)  # its own word may be on its way
    heard(harness, 95, 3, NEW)

    shown = detail(harness.command(), at(90))  # a read waits for no sweep
    assert (shown["state"], shown["inferred"], shown["code"]) == ("SUCCEEDED", True, "boot-id-changed")
    assert (shown["boot_id_before"], shown["boot_id"]) == (OLD, NEW)
    assert (harness.commands.infer_due(at(89)), harness.commands.infer_due(at(90))) == (0, 1)
    shown = detail(harness.command(), at(91))
    assert [(t["state"], t["by"]) for t in shown["transitions"]] == [
        ("PENDING", "ada"), ("IN_PROGRESS", "device"), ("SUCCEEDED", "cloud")
    ]  # fmt: skip
    assert harness.commands.infer_due(at(10_000)) == 0  # nobody waits for it any more

    harness.says(161, State.SUCCEEDED, boot_id_before=OLD, boot_id=NEW, down_s=20.0)
    shown = detail(harness.command(), at(162))
    assert (shown["state"], shown["inferred"], shown["down_s"]) == ("SUCCEEDED", False, 20.0)


@EITHER
def test_of_a_reboot_whose_end_the_device_tells_as_ever_nothing_is_concluded(
    harness: ProofHarness, heard: Heard
) -> None:
    harness.begins(2)
    heard(harness, 30, 2, NEW)
    harness.says(31, State.SUCCEEDED, boot_id_before=OLD, boot_id=NEW, down_s=20.0)

    assert harness.commands.infer_due(at(10_000)) == 0
    shown = detail(harness.command(), at(10_001))
    assert (shown["state"], shown["inferred"]) == ("SUCCEEDED", False)
    assert [(t["state"], t["by"]) for t in shown["transitions"]] == [
        ("PENDING", "ada"), ("IN_PROGRESS", "device"), ("SUCCEEDED", "device")
    ]  # fmt: skip
    assert harness.command().proof is None


@EITHER
def test_a_device_that_was_still_up_and_is_rebooted_by_hand_later_proves_nothing(
    harness: ProofHarness, heard: Heard
) -> None:
    """It said IN_PROGRESS, did not reboot, and its FAILED was lost."""
    harness.begins(2)
    heard(harness, 603, 2, OLD)
    harness.calls.clear()
    heard(harness, 604, 3, OLD)
    assert list(harness.calls) == ["UpdateItem"]  # nobody waits for its next boot any more

    heard(harness, 90_000, 31, NEW)

    assert harness.commands.infer_due(at(100_000)) == 1
    assert harness.stands(now=100_000) == ("FAILED", True)  # no-proof: nobody knows
    assert harness.command().proof is None


@EITHER
def test_words_of_the_old_boot_that_were_on_their_way_do_not_end_the_wait_for_the_next(
    harness: ProofHarness, heard: Heard
) -> None:
    harness.begins(2)
    heard(harness, 602, 2, OLD)

    heard(harness, 603, 3, NEW)

    assert harness.stands(now=700) == ("SUCCEEDED", True)


@EITHER
def test_a_proof_that_comes_late_replaces_what_silence_said_and_no_word_of_the_device(
    harness: ProofHarness, heard: Heard
) -> None:
    harness.begins(2)
    assert harness.commands.infer_due(at(2_000)) == 1
    assert harness.stands(now=2_000) == ("FAILED", True)

    heard(harness, 2_100, 2, NEW)
    assert harness.stands(now=2_101) == ("SUCCEEDED", True)

    harness.ordered(SECOND)
    harness.begins(2_200, SECOND, NEW)
    harness.says(2_300, State.FAILED, SECOND, code="reboot-refused")
    heard(harness, 2_400, 9, "boot-3")
    assert harness.stands(SECOND) == ("FAILED", False)


@EITHER
@pytest.mark.parametrize("state", [None, State.DELIVERED])
def test_nothing_is_proven_of_what_the_device_did_not_begin(
    harness: ProofHarness, heard: Heard, state: State | None
) -> None:
    if state is not None:
        harness.says(2, state)

    heard(harness, 30, 2, NEW)

    assert harness.stands() == ((state or State.PENDING).value, False)


@pytest.mark.parametrize("went_down", [False, True])
def test_nothing_a_device_says_while_its_boot_ids_source_is_gone_is_taken_for_a_proof(
    harness: ProofHarness, *, went_down: bool
) -> None:
    device = robots.AgentHarness(boot_id_path="/mnt/boot_id")
    device.checks = {"boot_id_path": device.machine.check}
    device.start()
    order = device.a_command()
    harness.commands.create(Command.made_of("robot-7", order))
    device.send(order)

    device.machine.unreadable.add("/mnt/boot_id")
    if went_down:
        device.power_cycle()
    else:
        device.start()
    device.turns(REBOOT_GRACE_S - 60)
    harness.hears(device, 2)
    assert harness.stands(order.id) == ("IN_PROGRESS", False)
    device.turns(600.0)
    harness.hears(device, 3)

    assert harness.stands(order.id) == ("FAILED", False)
    assert harness.command(order.id).result["code"] == "boot-id-unreadable"


@EITHER
def test_what_began_without_naming_its_boot_is_not_proven_by_one(harness: ProofHarness, heard: Heard) -> None:
    harness.says(2, State.IN_PROGRESS)

    heard(harness, 30, 2, NEW)

    assert harness.stands() == ("IN_PROGRESS", False)


@EITHER
def test_a_late_message_of_the_old_boot_or_of_one_before_it_proves_nothing(
    harness: ProofHarness, heard: Heard
) -> None:
    harness.begins(5)

    heard(harness, 6, 2, OLD)  # newer, of the boot that is about to end
    heard(harness, 7, 1, OLDER)  # an older one, received later
    heard(harness, 4, 3, NEW)  # received before: whose ever it is, it was no reboot that came after
    assert harness.stands() == ("IN_PROGRESS", False)

    heard(harness, 30, 4, NEW)
    assert harness.stands() == ("SUCCEEDED", True)


@EITHER
def test_a_boot_that_was_known_before_the_one_that_ends_proves_nothing(
    harness: ProofHarness, heard: Heard
) -> None:
    harness.begins(5, boot_id="boot-1b")  # of which nothing was heard but this

    heard(harness, 30, 2, OLD)  # late, or twice
    assert harness.stands() == ("IN_PROGRESS", False)

    heard(harness, 40, 3, NEW)
    assert harness.stands() == ("SUCCEEDED", True)


@EITHER
def test_a_next_boot_that_overtook_the_word_of_its_reboot_on_the_way_proves_it_too(
    harness: ProofHarness, heard: Heard
) -> None:
    """A hello goes straight to its function, a result waits in the queue."""
    heard(harness, 30, 2, NEW)

    harness.begins(5)

    assert harness.stands() == ("SUCCEEDED", True)


@EITHER
def test_a_device_with_no_reboot_under_way_costs_no_call_more(harness: ProofHarness, heard: Heard) -> None:
    def cost(received: float, sequence: int, boot_id: str) -> tuple[int, int]:
        harness.calls.clear()
        harness.ledger_calls.clear()
        heard(harness, received, sequence, boot_id)
        return len(harness.calls), len(harness.ledger_calls)

    assert cost(10, 10, OLD) == (1, 0)
    assert cost(20, 11, NEW) == (1, 0)  # it rebooted by itself
    harness.begins(21, boot_id=NEW)
    assert cost(22, 12, NEW) == (1, 0)  # still the boot that is about to end
    assert cost(40, 13, "boot-3") == (3, 1)  # noticed, concluded, and no longer watched for
    assert cost(50, 14, "boot-3") == (1, 0)


def test_what_a_command_costs_is_one_call_more_where_it_begins(harness: ProofHarness) -> None:
    harness.calls.clear()
    harness.says(2, State.DELIVERED)
    assert list(harness.calls) == []
    harness.begins(3)
    assert list(harness.calls) == ["UpdateItem"]


@EITHER
def test_a_proof_is_not_lost_with_whoever_fails_in_the_middle(harness: ProofHarness, heard: Heard) -> None:
    class Broken(Proofs):
        def prove(self, *_: Any) -> Any:
            raise Unavailable("throttled")

    harness.begins(2)
    whole, harness.proofs = harness.proofs, Broken(None, "none")
    with suppress(Unavailable):  # Lambda tries again
        assert heard(harness, 30, 2, NEW) == ["1"]
    harness.proofs = whole

    heard(harness, 30, 2, NEW)

    assert harness.stands() == ("SUCCEEDED", True)


def test_a_result_that_comes_again_after_its_reboot_was_noted_is_taken_then(harness: ProofHarness) -> None:
    class Broken(Commands):
        def apply_result(self, *_: Any) -> Any:
            raise Unavailable("throttled")

    whole, harness.commands = harness.commands, Broken(None, "none")
    assert harness.begins(2) == ["1"]
    harness.commands = whole
    harness.hello(30, 2, NEW)
    assert harness.stands() == ("PENDING", False)  # never from what the ledger does not know to have begun

    assert harness.begins(2) == []
    harness.reports(40, 3, NEW)

    assert harness.stands() == ("SUCCEEDED", True)


def test_the_word_of_an_older_reboot_that_comes_late_is_not_waited_for_instead(harness: ProofHarness) -> None:
    harness.ordered(SECOND)
    harness.begins(5, SECOND)
    harness.begins(6, FIRST)

    harness.hello(30, 2, NEW)

    assert (harness.stands(SECOND), harness.stands(FIRST)) == (("SUCCEEDED", True), ("IN_PROGRESS", False))


@EITHER
def test_a_group_reboot_is_woken_when_a_proof_takes_a_failure_back(
    harness: ProofHarness, heard: Heard
) -> None:
    empty(harness.commands._table, COMMANDS)
    harness.ordered(part_of=PART_OF)
    harness.begins(2)
    harness.commands.infer_due(at(2_000))
    assert harness.queue.bodies == []

    heard(harness, 2_100, 2, NEW)

    assert [json.loads(body) for body in harness.queue.bodies] == [{"group_reboot": PART_OF}]


def test_a_row_of_before_has_nothing_under_way(harness: ProofHarness) -> None:
    device = harness.devices.get("robot-7")
    assert device is not None
    assert device.rebooting is None
    assert replace(device, boot_id=NEW).rebooting is None
