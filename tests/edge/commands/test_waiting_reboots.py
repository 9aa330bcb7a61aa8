"""Reboots that wait: for their time, for a lock, and what a newer one means for them."""

from datetime import timedelta

import pytest

from contract import topics
from contract.commands import CommandState, RebootCommand, RestartApplicationCommand, TimeAnswer
from edge.events import MessageReceived
from tests.support.edge.fakes import THING, World, a_pass

DELIVERED, IN_PROGRESS = CommandState.DELIVERED, CommandState.IN_PROGRESS
SUCCEEDED, FAILED = CommandState.SUCCEEDED, CommandState.FAILED
REJECTED, EXPIRED, SUPERSEDED = CommandState.REJECTED, CommandState.EXPIRED, CommandState.SUPERSEDED


def told(world: World, command: RebootCommand) -> list[tuple[CommandState, str | None]]:
    return [(result.state, result.code) for result in world.results(command)]


def test_a_delayed_reboot_says_so_once_and_happens_when_it_is_due_and_not_before() -> None:
    world = World()
    world.start()
    command = world.a_command(delay_s=600)

    world.send(command)
    world.send(command)  # the broker redelivers what was not acknowledged
    world.turns(598.0)
    assert told(world, command) == [(DELIVERED, "delayed")]
    assert world.machine.reboots == 0

    world.turns(4.0)
    assert world.states(command) == [DELIVERED, IN_PROGRESS]
    assert world.machine.reboots == 1


def test_a_delayed_reboot_is_not_early_where_the_servers_time_took_long_to_come() -> None:
    world = World()
    world.answers_time = False
    world.start()
    [nonce] = [hello.nonce for hello in world.events() if hello.nonce]
    world.turns(10.0)  # all of it the hello's way; the answer comes at once
    at_server = TimeAnswer(nonce=nonce, server_time_ms=int(world.server_now.timestamp() * 1000))
    world.deliver(MessageReceived(topics.command_request(THING, "time"), at_server.to_json()))
    command = world.a_command(delay_s=60)

    world.send(command)
    world.turns(59.0)
    assert world.machine.reboots == 0

    world.turns(12.0)
    assert world.machine.reboots == 1


def test_the_loop_wakes_for_a_delayed_reboot_by_itself() -> None:
    world = World(heartbeat_s=86_400)
    world.containers.found = a_pass()
    world.start()
    command = world.a_command(delay_s=7)
    world.send(command)

    waits_s = []
    while world.machine.reboots == 0:
        waits_s.append(world.agent.wait_s() if world.agent else 0.0)
        world.turns(waits_s[-1])

    assert sum(waits_s) == pytest.approx(7, abs=0.1)


@pytest.mark.parametrize("power_cut", [False, True], ids=["agent restarts", "power is cut"])
def test_a_delayed_reboot_outlives_the_agent_and_the_boot(power_cut: bool) -> None:
    world = World()
    world.start()
    command = world.a_command(delay_s=600)
    world.send(command)
    world.turns(60.0)

    world.power_cycle() if power_cut else world.start()
    world.turns(400.0)
    assert world.machine.reboots == 0
    world.turns(200.0)

    assert world.states(command)[-1] is IN_PROGRESS
    assert world.machine.reboots == 1


def test_the_delay_goes_by_the_servers_time_whatever_the_device_believes() -> None:
    world = World()
    world.server_ahead = timedelta(days=365)
    world.start()
    command = world.a_command(delay_s=600)

    world.send(command)
    world.turns(590.0)
    assert world.machine.reboots == 0
    world.turns(20.0)

    assert [result.clock for result in world.results(command)] == ["server", "server"]
    assert world.machine.reboots == 1


def test_where_no_boot_gets_an_answer_the_delay_goes_by_the_devices_own_clock() -> None:
    world = World()
    world.answers_time = False
    world.start()
    command = world.a_command(delay_s=600)

    world.send(command)
    world.turns(590.0)
    assert world.machine.reboots == 0
    world.clock.date += timedelta(seconds=3)  # somebody sets it
    world.turns(20.0)

    assert [(r.state, r.clock) for r in world.results(command)] == [
        (DELIVERED, "device"),
        (IN_PROGRESS, "device"),
    ]


def test_a_delayed_reboot_that_could_not_start_in_time_expires() -> None:
    world = World()
    world.start()
    command = world.a_command(delay_s=600, valid_s=900)
    world.send(command)

    world.clock.advance(1_000)  # the agent is away
    world.start()
    world.turns(1.0)

    assert told(world, command)[-1] == (EXPIRED, "expired")
    assert world.machine.reboots == 0


def test_a_delayed_reboot_that_becomes_due_then_waits_for_a_lock_and_says_so() -> None:
    world = World()
    world.containers.found = a_pass(locked=True)
    world.start()
    command = world.a_command(delay_s=100)

    world.send(command)
    world.turns(200.0)

    assert told(world, command) == [(DELIVERED, "delayed"), (DELIVERED, "update-locked")]
    world.containers.found = a_pass()
    world.turns(10.0)
    assert world.machine.reboots == 1


def test_what_the_lock_never_let_start_expires_by_the_locks_name() -> None:
    world = World()
    world.containers.found = a_pass(locked=True)
    world.start()
    command = world.a_command(valid_s=300)

    world.send(command)
    world.turns(320.0)

    assert told(world, command) == [(DELIVERED, "update-locked"), (EXPIRED, "update-locked")]
    assert world.machine.reboots == 0


def test_one_that_is_due_while_a_container_is_being_replaced_is_refused() -> None:
    world = World()
    world.start()
    command = world.a_command(delay_s=100)
    world.send(command)

    world.containers.found = a_pass(settled=False, critical=True)
    world.turns(110.0)

    assert told(world, command)[-1] == (REJECTED, "update-in-progress")


def test_an_administrators_word_passes_over_the_budget_and_counts_all_the_same() -> None:
    world = World(reboot_budget=1)
    world.start()
    for override in (False, True):
        world.send(world.a_command(override_budget=override))
        world.power_cycle()
    assert world.machine.reboots == 2

    world.turns(3_590.0)  # the first is forgotten, the second is not
    refused = world.a_command()
    world.send(refused)

    assert told(world, refused) == [(REJECTED, "reboot-budget")]


def test_a_newer_reboot_takes_the_place_of_one_that_waits() -> None:
    world = World()
    world.start()
    older, newer = world.a_command(delay_s=300), world.a_command()

    world.send(older)
    world.send(newer)

    assert told(world, older) == [(DELIVERED, "delayed"), (SUPERSEDED, "newer-reboot")]
    assert world.states(newer) == [IN_PROGRESS]
    world.power_cycle()
    world.turns(400.0)
    assert world.machine.reboots == 1


def test_a_newer_one_that_waits_too_takes_the_place_of_the_older() -> None:
    world = World()
    world.start()
    older, newer = world.a_command(delay_s=300), world.a_command(delay_s=600)

    world.send(older)
    world.send(newer)
    world.turns(599.0)
    assert world.states(older)[-1] is SUPERSEDED
    assert world.machine.reboots == 0
    world.turns(2.0)

    assert world.states(newer) == [DELIVERED, IN_PROGRESS]


@pytest.mark.parametrize("newer_is", ["waiting", "under way", "done", "refused"])
def test_an_older_reboot_that_arrives_late_is_answered_and_not_carried_out(newer_is: str) -> None:
    world = World(reboot_budget=0 if newer_is == "refused" else 3)
    world.start()
    older = world.a_command(issued_ago_s=60)
    newer = world.a_command(delay_s=500 if newer_is == "waiting" else None)
    world.send(newer)
    if newer_is == "done":
        world.power_cycle()
    reboots = world.machine.reboots

    world.send(older)

    assert told(world, older) == [(SUPERSEDED, "newer-reboot")]
    assert world.machine.reboots == reboots


def test_of_reboots_held_for_the_servers_time_only_the_newest_happens_in_whatever_order_they_came() -> None:
    world = World()
    world.answers_time = False
    world.start()
    oldest, newest, middle = world.a_command(), world.a_command(), world.a_command(issued_ago_s=0.5)
    newest = newest.model_copy(update={"issued_at": middle.issued_at + timedelta(seconds=0.2)})
    for command in (newest, oldest, middle):
        world.send(command)
    assert world.results() == []

    world.answers_time = True
    world.start()
    world.turns(1.0)

    assert [world.states(each)[-1] for each in (oldest, middle, newest)] == [
        SUPERSEDED,
        SUPERSEDED,
        IN_PROGRESS,
    ]
    assert world.machine.reboots == 1


def test_a_reboot_that_claims_to_be_from_the_future_keeps_no_other_from_happening() -> None:
    world = World(reboot_budget=1)
    world.start()
    strange = world.a_command(issued_ago_s=-86_400, valid_s=3_600, delay_s=86_500)
    world.send(strange)
    command = world.a_command()

    world.send(command)

    assert world.states(command) == [IN_PROGRESS]


def test_other_commands_neither_supersede_a_reboot_nor_are_superseded() -> None:
    world = World()
    world.start()
    reboot = world.a_command(delay_s=300)
    world.send(reboot)
    restart = world.an_errand(RestartApplicationCommand, application="web")

    world.send(restart)
    world.turns(1.0)

    assert world.states(restart) == [IN_PROGRESS]
    assert world.states(reboot) == [DELIVERED]


def test_a_waiting_reboot_waits_on_for_a_full_disk_and_is_never_said_to_have_failed_and_done_after_all() -> (
    None
):
    world = World()
    world.start()
    command = world.a_command(delay_s=60)
    world.send(command)
    world.state.full = True

    world.turns(120.0)
    assert (told(world, command), world.machine.reboots) == ([(DELIVERED, "delayed")], 0)

    world.state.full = False
    world.turns(5.0)
    assert world.states(command) == [DELIVERED, IN_PROGRESS]
    assert world.machine.reboots == 1


def test_a_waiting_reboot_expires_with_a_full_disk_and_once_more_after_a_restart() -> None:
    world = World()
    world.start()
    command = world.a_command(delay_s=60, valid_s=90)
    world.send(command)
    world.state.full = True
    world.turns(120.0)
    assert told(world, command)[-1] == (EXPIRED, "expired")

    world.state.full = False
    world.start()
    world.turns(30.0)
    assert world.machine.reboots == 0
    assert told(world, command)[-1] == (EXPIRED, "expired")
