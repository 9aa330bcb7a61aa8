"""Only a boot id of the same source proves a reboot, whatever is configured or can be read meanwhile."""

import pytest

from contract.commands import CommandState
from edge.defaults import REBOOT_GRACE_S
from tests.support.edge.fakes import World

IN_PROGRESS, SUCCEEDED = CommandState.IN_PROGRESS, CommandState.SUCCEEDED
FAILED, REJECTED = CommandState.FAILED, CommandState.REJECTED
SOURCE = "/mnt/boot_id"


def a_world(**configuration: object) -> World:
    world = World(**configuration)
    world.checks = {"boot_id_path": world.machine.check}
    world.start()
    return world


def said(world: World) -> list[str]:
    return [event.boot_id for event in world.events()] + [report.boot_id for report in world.reports()]


def test_a_source_that_cannot_be_read_at_one_start_proves_no_reboot_neither_then_nor_later() -> None:
    world = a_world(boot_id_path=SOURCE)
    command = world.a_command()
    world.send(command)

    world.machine.unreadable.add(SOURCE)
    world.start()  # the agent alone: the machine never went down
    world.turns(30.0)
    world.machine.unreadable.clear()
    world.start()
    world.turns(REBOOT_GRACE_S + 5)

    assert world.states(command) == [IN_PROGRESS, FAILED]
    assert world.results(command)[-1].code == "reboot-not-performed"
    assert set(said(world)) == {f"{SOURCE}#1"}


def test_a_reboot_is_proven_as_soon_as_the_source_is_back() -> None:
    world = a_world(boot_id_path=SOURCE)
    command = world.a_command()
    world.send(command)
    world.machine.unreadable.add(SOURCE)
    world.power_cycle()
    world.turns(30.0)
    assert world.states(command) == [IN_PROGRESS]
    assert set(said(world)) == {f"{SOURCE}#1"}

    world.machine.unreadable.clear()
    world.turns(10.0)

    proof = world.results(command)[-1]
    assert (proof.state, proof.boot_id_before, proof.boot_id) == (SUCCEEDED, f"{SOURCE}#1", f"{SOURCE}#2")
    world.turns(REBOOT_GRACE_S + 5)
    assert world.states(command) == [IN_PROGRESS, SUCCEEDED]
    assert world.reports()[-1].boot_id == f"{SOURCE}#2"


def test_without_the_source_for_the_whole_grace_period_it_is_said_that_nobody_knows() -> None:
    world = a_world(boot_id_path=SOURCE)
    command = world.a_command()
    world.send(command)
    world.machine.unreadable.add(SOURCE)
    world.power_cycle()

    world.turns(REBOOT_GRACE_S + 5)

    assert world.states(command) == [IN_PROGRESS, FAILED]
    assert world.results(command)[-1].code == "boot-id-unreadable"
    assert world.machine.reboots == 1
    assert set(said(world)) == {f"{SOURCE}#1"}  # also now: the cloud may not have the result yet


def test_a_device_whose_boot_id_is_another_ones_than_configured_refuses_reboots_until_it_is_back() -> None:
    world = World(boot_id_path=SOURCE)
    world.checks = {"boot_id_path": world.machine.check}
    world.machine.unreadable.add(SOURCE)
    world.start()
    refused = world.a_command()
    world.send(refused)
    assert world.states(refused) == [REJECTED]
    assert world.results(refused)[-1].code == "boot-id-unreadable"
    assert world.machine.reboots == 0

    world.machine.unreadable.clear()
    world.turns(70.0)
    command = world.a_command()
    world.send(command)
    world.power_cycle()

    assert world.states(command) == [IN_PROGRESS, SUCCEEDED]
    assert world.results(command)[-1].boot_id == f"{SOURCE}#2"


@pytest.mark.parametrize("rebooted", [True, False])
def test_another_source_configured_meanwhile_counts_once_the_reboot_is_over(*, rebooted: bool) -> None:
    world = a_world(boot_id_path=SOURCE)
    command = world.a_command()
    world.send(command)
    world.configure(boot_id_path="/run/other")

    if rebooted:
        world.power_cycle()
    else:
        world.start()
        assert world.reports()[-1].boot_id == f"{SOURCE}#1"
    world.turns(REBOOT_GRACE_S + 5)
    world.start()
    world.turns(1.0)

    assert world.states(command) == [IN_PROGRESS, SUCCEEDED if rebooted else FAILED]
    assert world.results(command)[-1].boot_id == (f"{SOURCE}#2" if rebooted else None)
    assert world.reports()[-1].boot_id.startswith("/run/other#")


def test_a_reboot_that_an_agent_of_before_began_is_proven_by_the_configured_source_or_by_none() -> None:
    for unreadable, outcome in (False, SUCCEEDED), (True, FAILED):
        world = a_world(boot_id_path=SOURCE)
        command = world.a_command()
        world.send(command)
        del world.state.files["boot.json"]
        if unreadable:
            world.machine.unreadable.add(SOURCE)
        world.power_cycle()
        world.turns(REBOOT_GRACE_S + 5)

        assert world.states(command) == [IN_PROGRESS, outcome]


def test_without_its_ledger_a_device_still_says_no_boot_of_another_source() -> None:
    world = a_world(boot_id_path=SOURCE)
    world.send(world.a_command())
    world.state.files["commands.json"] = b"{"
    world.machine.unreadable.add(SOURCE)
    world.answers_time = False

    world.start()
    world.turns(70.0)

    assert set(said(world)) == {f"{SOURCE}#1"}


def test_a_broken_file_of_the_source_costs_only_that() -> None:
    world = a_world(boot_id_path=SOURCE)
    command = world.a_command()
    world.send(command)
    world.state.files["boot.json"] = b"{"

    world.power_cycle()

    assert world.states(command) == [IN_PROGRESS, SUCCEEDED]
    assert world.state.aside["boot.json"] == b"{"
