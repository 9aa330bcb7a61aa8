"""Reboots that wait: for their time, for a lock, and what a newer one means for them."""

from datetime import timedelta

import pytest

from contract import topics
from contract.commands import CommandState, RebootCommand, RestartApplicationCommand, TimeAnswer
from edge.events import MessageReceived
from tests.support.edge.fakes import THING, AgentHarness, a_pass

DELIVERED, IN_PROGRESS = CommandState.DELIVERED, CommandState.IN_PROGRESS
SUCCEEDED, FAILED = CommandState.SUCCEEDED, CommandState.FAILED
REJECTED, EXPIRED, SUPERSEDED = CommandState.REJECTED, CommandState.EXPIRED, CommandState.SUPERSEDED


def told(harness: AgentHarness, command: RebootCommand) -> list[tuple[CommandState, str | None]]:
    return [(result.state, result.code) for result in harness.results(command)]


def test_a_delayed_reboot_says_so_once_and_happens_when_it_is_due_and_not_before() -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command(delay_s=600)

    harness.send(command)
    harness.send(command)  # the broker redelivers what was not acknowledged
    harness.turns(598.0)
    assert told(harness, command) == [(DELIVERED, "delayed")]
    assert harness.machine.reboots == 0

    harness.turns(4.0)
    assert harness.states(command) == [DELIVERED, IN_PROGRESS]
    assert harness.machine.reboots == 1


def test_a_delayed_reboot_is_not_early_where_the_servers_time_took_long_to_come() -> None:
    harness = AgentHarness()
    harness.answers_time = False
    harness.start()
    [nonce] = [hello.nonce for hello in harness.events() if hello.nonce]
    harness.turns(10.0)  # all of it the hello's way; the answer comes at once
    at_server = TimeAnswer(nonce=nonce, server_time_ms=int(harness.server_now.timestamp() * 1000))
    harness.deliver(MessageReceived(topics.command_request(THING, "time"), at_server.to_json()))
    command = harness.a_command(delay_s=60)

    harness.send(command)
    harness.turns(59.0)
    assert harness.machine.reboots == 0

    harness.turns(12.0)
    assert harness.machine.reboots == 1


def test_the_loop_wakes_for_a_delayed_reboot_by_itself() -> None:
    harness = AgentHarness(heartbeat_s=86_400)
    harness.containers.found = a_pass()
    harness.start()
    command = harness.a_command(delay_s=7)
    harness.send(command)

    waits_s = []
    while harness.machine.reboots == 0:
        waits_s.append(harness.agent.wait_s() if harness.agent else 0.0)
        harness.turns(waits_s[-1])

    assert sum(waits_s) == pytest.approx(7, abs=0.1)


@pytest.mark.parametrize("power_cut", [False, True], ids=["agent restarts", "power is cut"])
def test_a_delayed_reboot_outlives_the_agent_and_the_boot(power_cut: bool) -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command(delay_s=600)
    harness.send(command)
    harness.turns(60.0)

    harness.power_cycle() if power_cut else harness.start()
    harness.turns(400.0)
    assert harness.machine.reboots == 0
    harness.turns(200.0)

    assert harness.states(command)[-1] is IN_PROGRESS
    assert harness.machine.reboots == 1


def test_the_delay_goes_by_the_servers_time_whatever_the_device_believes() -> None:
    harness = AgentHarness()
    harness.server_ahead = timedelta(days=365)
    harness.start()
    command = harness.a_command(delay_s=600)

    harness.send(command)
    harness.turns(590.0)
    assert harness.machine.reboots == 0
    harness.turns(20.0)

    assert [result.clock for result in harness.results(command)] == ["server", "server"]
    assert harness.machine.reboots == 1


def test_where_no_boot_gets_an_answer_the_delay_goes_by_the_devices_own_clock() -> None:
    harness = AgentHarness()
    harness.answers_time = False
    harness.start()
    command = harness.a_command(delay_s=600)

    harness.send(command)
    harness.turns(590.0)
    assert harness.machine.reboots == 0
    harness.clock.date += timedelta(seconds=3)  # somebody sets it
    harness.turns(20.0)

    assert [(r.state, r.clock) for r in harness.results(command)] == [
        (DELIVERED, "device"),
        (IN_PROGRESS, "device"),
    ]


def test_a_delayed_reboot_that_could_not_start_in_time_expires() -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command(delay_s=600, valid_s=900)
    harness.send(command)

    harness.clock.advance(1_000)  # the agent is away
    harness.start()
    harness.turns(1.0)

    assert told(harness, command)[-1] == (EXPIRED, "expired")
    assert harness.machine.reboots == 0


def test_a_delayed_reboot_that_becomes_due_then_waits_for_a_lock_and_says_so() -> None:
    harness = AgentHarness()
    harness.containers.found = a_pass(locked=True)
    harness.start()
    command = harness.a_command(delay_s=100)

    harness.send(command)
    harness.turns(200.0)

    assert told(harness, command) == [(DELIVERED, "delayed"), (DELIVERED, "update-locked")]
    harness.containers.found = a_pass()
    harness.turns(10.0)
    assert harness.machine.reboots == 1


def test_what_the_lock_never_let_start_expires_by_the_locks_name() -> None:
    harness = AgentHarness()
    harness.containers.found = a_pass(locked=True)
    harness.start()
    command = harness.a_command(valid_s=300)

    harness.send(command)
    harness.turns(320.0)

    assert told(harness, command) == [(DELIVERED, "update-locked"), (EXPIRED, "update-locked")]
    assert harness.machine.reboots == 0


def test_one_that_is_due_while_a_container_is_being_replaced_is_refused() -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command(delay_s=100)
    harness.send(command)

    harness.containers.found = a_pass(settled=False, critical=True)
    harness.turns(110.0)

    assert told(harness, command)[-1] == (REJECTED, "update-in-progress")


def test_an_administrators_word_passes_over_the_budget_and_counts_all_the_same() -> None:
    harness = AgentHarness(reboot_budget=1)
    harness.start()
    for override in (False, True):
        harness.send(harness.a_command(override_budget=override))
        harness.power_cycle()
    assert harness.machine.reboots == 2

    harness.turns(3_590.0)  # the first is forgotten, the second is not
    refused = harness.a_command()
    harness.send(refused)

    assert told(harness, refused) == [(REJECTED, "reboot-budget")]


def test_a_newer_reboot_takes_the_place_of_one_that_waits() -> None:
    harness = AgentHarness()
    harness.start()
    older, newer = harness.a_command(delay_s=300), harness.a_command()

    harness.send(older)
    harness.send(newer)

    assert told(harness, older) == [(DELIVERED, "delayed"), (SUPERSEDED, "newer-reboot")]
    assert harness.states(newer) == [IN_PROGRESS]
    harness.power_cycle()
    harness.turns(400.0)
    assert harness.machine.reboots == 1


def test_a_newer_one_that_waits_too_takes_the_place_of_the_older() -> None:
    harness = AgentHarness()
    harness.start()
    older, newer = harness.a_command(delay_s=300), harness.a_command(delay_s=600)

    harness.send(older)
    harness.send(newer)
    harness.turns(599.0)
    assert harness.states(older)[-1] is SUPERSEDED
    assert harness.machine.reboots == 0
    harness.turns(2.0)

    assert harness.states(newer) == [DELIVERED, IN_PROGRESS]


@pytest.mark.parametrize("newer_is", ["waiting", "under way", "done", "refused"])
def test_an_older_reboot_that_arrives_late_is_answered_and_not_carried_out(newer_is: str) -> None:
    harness = AgentHarness(reboot_budget=0 if newer_is == "refused" else 3)
    harness.start()
    older = harness.a_command(issued_ago_s=60)
    newer = harness.a_command(delay_s=500 if newer_is == "waiting" else None)
    harness.send(newer)
    if newer_is == "done":
        harness.power_cycle()
    reboots = harness.machine.reboots

    harness.send(older)

    assert told(harness, older) == [(SUPERSEDED, "newer-reboot")]
    assert harness.machine.reboots == reboots


def test_of_reboots_held_for_the_servers_time_only_the_newest_happens_in_whatever_order_they_came() -> None:
    harness = AgentHarness()
    harness.answers_time = False
    harness.start()
    oldest, newest, middle = harness.a_command(), harness.a_command(), harness.a_command(issued_ago_s=0.5)
    newest = newest.model_copy(update={"issued_at": middle.issued_at + timedelta(seconds=0.2)})
    for command in (newest, oldest, middle):
        harness.send(command)
    assert harness.results() == []

    harness.answers_time = True
    harness.start()
    harness.turns(1.0)

    assert [harness.states(each)[-1] for each in (oldest, middle, newest)] == [
        SUPERSEDED,
        SUPERSEDED,
        IN_PROGRESS,
    ]
    assert harness.machine.reboots == 1


def test_a_reboot_that_claims_to_be_from_the_future_keeps_no_other_from_happening() -> None:
    harness = AgentHarness(reboot_budget=1)
    harness.start()
    strange = harness.a_command(issued_ago_s=-86_400, valid_s=3_600, delay_s=86_500)
    harness.send(strange)
    command = harness.a_command()

    harness.send(command)

    assert harness.states(command) == [IN_PROGRESS]


def test_other_commands_neither_supersede_a_reboot_nor_are_superseded() -> None:
    harness = AgentHarness()
    harness.start()
    reboot = harness.a_command(delay_s=300)
    harness.send(reboot)
    restart = harness.an_errand(RestartApplicationCommand, application="web")

    harness.send(restart)
    harness.turns(1.0)

    assert harness.states(restart) == [IN_PROGRESS]
    assert harness.states(reboot) == [DELIVERED]


def test_a_waiting_reboot_waits_on_for_a_full_disk_and_is_never_said_to_have_failed_and_done_after_all() -> (
    None
):
    harness = AgentHarness()
    harness.start()
    command = harness.a_command(delay_s=60)
    harness.send(command)
    harness.state.full = True

    harness.turns(120.0)
    assert (told(harness, command), harness.machine.reboots) == ([(DELIVERED, "delayed")], 0)

    harness.state.full = False
    harness.turns(5.0)
    assert harness.states(command) == [DELIVERED, IN_PROGRESS]
    assert harness.machine.reboots == 1


def test_a_waiting_reboot_expires_with_a_full_disk_and_once_more_after_a_restart() -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command(delay_s=60, valid_s=90)
    harness.send(command)
    harness.state.full = True
    harness.turns(120.0)
    assert told(harness, command)[-1] == (EXPIRED, "expired")

    harness.state.full = False
    harness.start()
    harness.turns(30.0)
    assert harness.machine.reboots == 0
    assert told(harness, command)[-1] == (EXPIRED, "expired")
