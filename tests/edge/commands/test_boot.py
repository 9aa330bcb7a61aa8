"""Only a boot id of the same source proves a reboot, whatever is configured or can be read meanwhile."""

import pytest

from contract.commands import CommandState
from edge.defaults import REBOOT_GRACE_S
from tests.support.edge.fakes import AgentHarness

IN_PROGRESS, SUCCEEDED = CommandState.IN_PROGRESS, CommandState.SUCCEEDED
FAILED, REJECTED = CommandState.FAILED, CommandState.REJECTED
SOURCE = "/mnt/boot_id"


def a_harness(**configuration: object) -> AgentHarness:
    harness = AgentHarness(**configuration)
    harness.checks = {"boot_id_path": harness.machine.check}
    harness.start()
    return harness


def said(harness: AgentHarness) -> list[str]:
    return [event.boot_id for event in harness.events()] + [report.boot_id for report in harness.reports()]


def test_a_source_that_cannot_be_read_at_one_start_proves_no_reboot_neither_then_nor_later() -> None:
    harness = a_harness(boot_id_path=SOURCE)
    command = harness.a_command()
    harness.send(command)

    harness.machine.unreadable.add(SOURCE)
    harness.start()  # the agent alone: the machine never went down
    harness.turns(30.0)
    harness.machine.unreadable.clear()
    harness.start()
    harness.turns(REBOOT_GRACE_S + 5)

    assert harness.states(command) == [IN_PROGRESS, FAILED]
    assert harness.results(command)[-1].code == "reboot-not-performed"
    assert set(said(harness)) == {f"{SOURCE}#1"}


def test_a_reboot_is_proven_as_soon_as_the_source_is_back() -> None:
    harness = a_harness(boot_id_path=SOURCE)
    command = harness.a_command()
    harness.send(command)
    harness.machine.unreadable.add(SOURCE)
    harness.power_cycle()
    harness.turns(30.0)
    assert harness.states(command) == [IN_PROGRESS]
    assert set(said(harness)) == {f"{SOURCE}#1"}

    harness.machine.unreadable.clear()
    harness.turns(10.0)

    proof = harness.results(command)[-1]
    assert (proof.state, proof.boot_id_before, proof.boot_id) == (SUCCEEDED, f"{SOURCE}#1", f"{SOURCE}#2")
    harness.turns(REBOOT_GRACE_S + 5)
    assert harness.states(command) == [IN_PROGRESS, SUCCEEDED]
    assert harness.reports()[-1].boot_id == f"{SOURCE}#2"


def test_without_the_source_for_the_whole_grace_period_it_is_said_that_nobody_knows() -> None:
    harness = a_harness(boot_id_path=SOURCE)
    command = harness.a_command()
    harness.send(command)
    harness.machine.unreadable.add(SOURCE)
    harness.power_cycle()

    harness.turns(REBOOT_GRACE_S + 5)

    assert harness.states(command) == [IN_PROGRESS, FAILED]
    assert harness.results(command)[-1].code == "boot-id-unreadable"
    assert harness.machine.reboots == 1
    assert set(said(harness)) == {f"{SOURCE}#1"}  # also now: the cloud may not have the result yet


def test_a_device_whose_boot_id_is_another_ones_than_configured_refuses_reboots_until_it_is_back() -> None:
    harness = AgentHarness(boot_id_path=SOURCE)
    harness.checks = {"boot_id_path": harness.machine.check}
    harness.machine.unreadable.add(SOURCE)
    harness.start()
    refused = harness.a_command()
    harness.send(refused)
    assert harness.states(refused) == [REJECTED]
    assert harness.results(refused)[-1].code == "boot-id-unreadable"
    assert harness.machine.reboots == 0

    harness.machine.unreadable.clear()
    harness.turns(70.0)
    command = harness.a_command()
    harness.send(command)
    harness.power_cycle()

    assert harness.states(command) == [IN_PROGRESS, SUCCEEDED]
    assert harness.results(command)[-1].boot_id == f"{SOURCE}#2"


@pytest.mark.parametrize("rebooted", [True, False])
def test_another_source_configured_meanwhile_counts_once_the_reboot_is_over(*, rebooted: bool) -> None:
    harness = a_harness(boot_id_path=SOURCE)
    command = harness.a_command()
    harness.send(command)
    harness.configure(boot_id_path="/run/other")

    if rebooted:
        harness.power_cycle()
    else:
        harness.start()
        assert harness.reports()[-1].boot_id == f"{SOURCE}#1"
    harness.turns(REBOOT_GRACE_S + 5)
    harness.start()
    harness.turns(1.0)

    assert harness.states(command) == [IN_PROGRESS, SUCCEEDED if rebooted else FAILED]
    assert harness.results(command)[-1].boot_id == (f"{SOURCE}#2" if rebooted else None)
    assert harness.reports()[-1].boot_id.startswith("/run/other#")


def test_a_reboot_that_an_agent_of_before_began_is_proven_by_the_configured_source_or_by_none() -> None:
    for unreadable, outcome in (False, SUCCEEDED), (True, FAILED):
        harness = a_harness(boot_id_path=SOURCE)
        command = harness.a_command()
        harness.send(command)
        del harness.state.files["boot.json"]
        if unreadable:
            harness.machine.unreadable.add(SOURCE)
        harness.power_cycle()
        harness.turns(REBOOT_GRACE_S + 5)

        assert harness.states(command) == [IN_PROGRESS, outcome]


def test_without_its_ledger_a_device_still_says_no_boot_of_another_source() -> None:
    harness = a_harness(boot_id_path=SOURCE)
    harness.send(harness.a_command())
    harness.state.files["commands.json"] = b"{"
    harness.machine.unreadable.add(SOURCE)
    harness.answers_time = False

    harness.start()
    harness.turns(70.0)

    assert set(said(harness)) == {f"{SOURCE}#1"}


def test_a_broken_file_of_the_source_costs_only_that() -> None:
    harness = a_harness(boot_id_path=SOURCE)
    command = harness.a_command()
    harness.send(command)
    harness.state.files["boot.json"] = b"{"

    harness.power_cycle()

    assert harness.states(command) == [IN_PROGRESS, SUCCEEDED]
    assert harness.state.aside["boot.json"] == b"{"
