"""Reboot by command, whatever happens in between: never twice, always answered."""

import json
from concurrent.futures import Future
from datetime import timedelta

import pytest

from contract import topics
from contract.commands import CommandResult, CommandState
from edge.commands.rules.ledger import Entry, Ledger
from edge.defaults import REBOOT_STOP_S
from edge.events import MessageReceived, Progressed
from tests.support.edge.fakes import START, THING, World, a_pass, until_killed

IN_PROGRESS, SUCCEEDED = CommandState.IN_PROGRESS, CommandState.SUCCEEDED
DELIVERED = CommandState.DELIVERED
FAILED, REJECTED, EXPIRED = CommandState.FAILED, CommandState.REJECTED, CommandState.EXPIRED


def test_a_reboot_is_proven_by_another_boot_id() -> None:
    world = World()
    world.start()
    command = world.a_command()

    world.send(command)
    world.power_cycle(off_s=8.0)

    assert world.states(command) == [IN_PROGRESS, SUCCEEDED]
    proof = world.results(command)[-1]
    assert (proof.boot_id_before, proof.boot_id, proof.down_s) == ("boot-1", "boot-2", 8.0)
    assert world.machine.reboots == 1


def test_the_ledger_is_on_disk_before_anybody_is_told_and_the_machine_is_asked_last() -> None:
    world = World()
    world.start()
    world.fate.effects.clear()

    world.send(world.a_command())

    assert world.fate.effects[:2] == [
        "write commands.json",
        f"publish {topics.command_result(THING, 'reboot')}",
    ]
    assert world.fate.effects.index("reboot") >= 2


@pytest.mark.parametrize("rebooted", [False, True], ids=["same boot", "new boot"])
@pytest.mark.parametrize("kill_after", range(1, 9))
def test_killed_after_any_effect_it_never_reboots_twice_and_always_answers(
    kill_after: int, rebooted: bool
) -> None:
    world = World()
    world.start()
    command = world.a_command()
    world.fate.effects.clear()
    world.fate.kill_after = kill_after
    killed = until_killed(lambda: world.send(command))
    world.fate.kill_after = None

    if rebooted:
        world.power_cycle()
    elif killed:
        world.start()
    world.send(command)  # the broker redelivers what was not acknowledged
    world.turns(200.0)  # longer than the grace period

    assert world.machine.reboots <= 1
    assert world.states(command)[-1] is (SUCCEEDED if rebooted else FAILED)
    if not rebooted:
        assert world.results(command)[-1].code == "reboot-not-performed"


@pytest.mark.parametrize("kill_after", range(1, 6))
def test_killed_while_reporting_the_proof_it_reports_the_proof(kill_after: int) -> None:
    world = World()
    world.start()
    command = world.a_command()
    world.send(command)
    world.fate.effects.clear()
    world.fate.kill_after = kill_after
    until_killed(world.power_cycle)
    world.fate.kill_after = None

    world.start()
    world.turns(200.0)

    assert world.states(command)[-1] is SUCCEEDED
    assert world.machine.reboots == 1


def test_a_restart_within_the_same_boot_waits_out_the_grace_and_says_that_there_was_no_reboot() -> None:
    world = World(reboot_grace_s="30")
    world.start()
    command = world.a_command()
    world.machine.error = "systemctl exited with 1: no permission"
    world.send(command)

    world.turns(29.0)
    assert world.states(command) == [IN_PROGRESS]
    world.turns(2.0)

    assert world.states(command) == [IN_PROGRESS, FAILED]
    failed = world.results(command)[-1]
    assert (failed.code, failed.message) == ("reboot-not-performed", "systemctl exited with 1: no permission")


def test_the_machine_is_asked_once_the_applications_have_stopped_and_nothing_starts_meanwhile() -> None:
    world = World()
    world.containers.stop_at_once = False
    world.start()
    command = world.a_command()

    world.send(command)
    passes = world.containers.passes
    world.turns(20.0)
    assert world.states(command) == [IN_PROGRESS]
    assert (world.machine.reboots, len(world.containers.stops)) == (0, 1)

    world.containers.stops[0].set_result(None)
    world.deliver(Progressed())
    assert (world.machine.reboots, world.containers.passes) == (1, passes)


def test_applications_that_do_not_stop_hold_up_a_reboot_for_the_bound_and_no_longer() -> None:
    world = World()
    world.containers.stop_at_once = False
    world.start()
    world.send(world.a_command())

    world.turns(REBOOT_STOP_S - 1)
    assert world.machine.reboots == 0
    world.turns(2.0)

    assert world.machine.reboots == 1


def test_a_stop_that_fails_or_cannot_even_begin_does_not_keep_the_machine_from_rebooting() -> None:
    failed: Future[None] = Future()
    failed.set_exception(RuntimeError("can't start new thread"))
    for broken in (lambda: failed, lambda: 1 / 0):
        world = World()
        world.containers.stop_all = broken  # type: ignore[method-assign,assignment]
        world.start()

        world.send(world.a_command())

        assert world.machine.reboots == 1


def test_the_grace_counts_from_the_call_and_then_the_applications_run_again() -> None:
    world = World(reboot_grace_s=60)
    world.containers.stop_at_once = False
    world.start()
    command = world.a_command()
    world.send(command)
    passes = world.containers.passes

    world.turns(REBOOT_STOP_S + 59)
    assert world.states(command) == [IN_PROGRESS]
    assert world.containers.passes == passes
    world.turns(2.0)

    assert (world.states(command)[-1], world.results(command)[-1].code) == (FAILED, "reboot-not-performed")
    assert world.containers.passes > passes


def test_killed_while_the_applications_stop_the_next_agent_asks_nobody_and_says_that_there_was_none() -> None:
    world = World()
    world.containers.stop_at_once = False
    world.start()
    command = world.a_command()
    world.send(command)

    world.start()
    world.turns(130.0)

    assert world.machine.reboots == 0
    assert world.results(command)[-1].code == "reboot-not-performed"


def test_a_redelivered_command_is_answered_again_with_its_outcome_and_does_nothing() -> None:
    world = World()
    world.start()
    command = world.a_command()
    world.send(command)
    world.power_cycle()

    world.send(command)

    assert world.states(command) == [IN_PROGRESS, SUCCEEDED, SUCCEEDED]
    assert world.results(command)[1] == world.results(command)[2]
    assert world.machine.reboots == 1


def test_a_result_that_could_not_be_sent_is_sent_after_the_reboot() -> None:
    world = World()
    world.start()
    command = world.a_command()
    world.link.broker_up = False
    world.send(command)
    assert world.machine.reboots == 1
    world.power_cycle()
    assert world.states(command) == []

    world.link.broker_up = True
    world.turns(10.0)

    assert world.states(command) == [SUCCEEDED]


def test_an_expired_command_is_refused_by_the_servers_time_whatever_the_device_believes() -> None:
    world = World()
    world.server_ahead = timedelta(hours=2)  # the device's clock is two hours late
    world.start()
    command = world.a_command(issued_ago_s=3600, valid_s=1800)

    world.send(command)

    result = world.results(command)[-1]
    assert (result.state, result.code, result.clock) == (EXPIRED, "expired", "server")
    assert world.machine.reboots == 0


def test_without_the_servers_time_commands_wait_a_minute_and_then_the_devices_clock_judges() -> None:
    world = World()
    world.answers_time = False
    world.start()
    good, late = world.a_command(), world.a_command(issued_ago_s=100, valid_s=50)

    world.send(good)
    world.send(late)
    world.turns(59.0)
    assert world.results() == []
    world.turns(2.0)

    assert [(r.id, r.state, r.clock) for r in world.results()] == [
        (good.id, IN_PROGRESS, "device"),
        (late.id, EXPIRED, "device"),
    ]


def test_a_held_command_is_judged_as_soon_as_the_server_tells_the_time() -> None:
    world = World()
    world.answers_time = False
    world.start()
    command = world.a_command()
    world.send(command)
    nonce = world.events()[-1].nonce
    assert nonce is not None

    world.clock.advance(5.0)
    world.answer_time(nonce)
    world.turns()

    assert [(r.state, r.clock) for r in world.results(command)] == [(IN_PROGRESS, "server")]


def test_held_commands_survive_a_kill_and_are_bounded() -> None:
    world = World()
    world.answers_time = False
    world.start()
    commands = [world.a_command() for _ in range(65)]
    for command in commands:
        world.send(command)
    assert [r.code for r in world.results()] == ["too-many-held"]

    world.answers_time = True
    world.start()
    world.turns(1.0)

    answered = {r.id for r in world.results()}
    assert answered == {c.id for c in commands}
    assert world.machine.reboots == 1


def test_an_answer_with_a_nonce_nobody_asked_with_or_after_too_long_tells_no_time() -> None:
    world = World()
    world.answers_time = False
    world.start()
    command = world.a_command()
    world.send(command)
    nonce = world.events()[-1].nonce
    assert nonce is not None

    world.answer_time("stranger-nonce")
    world.turns()
    world.clock.advance(31.0)
    world.answer_time(nonce)
    world.turns()

    assert world.results(command) == []


def test_no_more_reboots_than_the_budget_allows_within_an_hour_across_boots() -> None:
    world = World(reboot_budget="2")
    world.start()
    for _ in range(2):
        world.send(world.a_command())
        world.power_cycle()
    third = world.a_command()

    world.send(third)
    assert [(r.state, r.code) for r in world.results(third)] == [(REJECTED, "reboot-budget")]

    world.turns(3_601.0)
    fourth = world.a_command()
    world.send(fourth)
    assert world.states(fourth) == [IN_PROGRESS]


def test_reboots_dated_by_a_clock_that_was_years_ahead_use_up_the_budget_for_an_hour_only() -> None:
    world = World(reboot_budget=1)
    world.answers_time = False
    world.clock.date += timedelta(days=4_000)
    world.start()
    first = world.a_command()
    world.send(first)
    world.turns(70.0)
    assert world.states(first) == [IN_PROGRESS]

    world.clock.date -= timedelta(days=4_000)
    world.answers_time = True
    world.power_cycle()
    second = world.a_command()
    world.send(second)
    world.turns(3_700.0)
    third = world.a_command()
    world.send(third)

    assert [r.code for r in world.results(second)] == ["reboot-budget"]
    assert world.states(third) == [IN_PROGRESS]


def test_a_reboot_waits_for_nobody_but_is_refused_while_a_container_is_being_replaced_unless_forced() -> None:
    world = World()
    world.containers.found = a_pass(settled=False, critical=True)
    world.start()
    polite, forced = world.a_command(), world.a_command(force=True)

    world.send(polite)
    world.send(forced)

    assert [(r.state, r.code) for r in world.results(polite)] == [(REJECTED, "update-in-progress")]
    assert world.states(forced) == [IN_PROGRESS]


def test_a_reboot_waits_for_an_update_lock_says_so_once_and_happens_when_it_is_released() -> None:
    world = World()
    world.containers.found = a_pass(locked=True)
    world.start()
    command = world.a_command()

    world.send(command)
    world.turns(120.0)
    world.send(command)  # the broker redelivers what was not acknowledged
    assert [(r.state, r.code) for r in world.results(command)] == [(DELIVERED, "update-locked")]
    assert world.machine.reboots == 0

    world.containers.found = a_pass(locked=False)
    world.turns(10.0)
    assert world.states(command) == [DELIVERED, IN_PROGRESS]
    assert world.machine.reboots == 1


def test_a_forced_reboot_does_not_wait_for_an_update_lock() -> None:
    world = World()
    world.containers.found = a_pass(locked=True)
    world.start()
    command = world.a_command(force=True)

    world.send(command)

    assert world.states(command) == [IN_PROGRESS]


def test_a_reboot_that_waited_for_a_lock_until_it_expired_does_not_happen() -> None:
    world = World()
    world.containers.found = a_pass(locked=True)
    world.start()
    command = world.a_command()

    world.send(command)
    world.turns((command.expires_at - command.issued_at).total_seconds() + 10)
    world.containers.found = a_pass(locked=False)
    world.turns(10.0)

    assert world.states(command) == [DELIVERED, EXPIRED]
    assert world.machine.reboots == 0


def test_a_reboot_that_waits_for_a_lock_outlives_the_agent() -> None:
    world = World()
    world.containers.found = a_pass(locked=True)
    world.start()
    command = world.a_command()
    world.send(command)

    world.start()
    world.containers.found = a_pass(locked=False)
    world.turns(70.0)

    assert world.states(command)[-1] is IN_PROGRESS
    assert world.machine.reboots == 1


def test_a_second_command_during_a_reboot_is_refused_and_containers_are_left_alone() -> None:
    world = World()
    world.start()
    world.send(world.a_command())
    passes = world.containers.passes
    second = world.a_command()

    world.send(second)
    world.turns(60.0)

    assert [r.code for r in world.results(second)] == ["reboot-in-progress"]
    assert world.containers.passes == passes


def test_a_command_that_could_outlive_the_devices_memory_is_refused() -> None:
    world = World()
    world.start()
    command = world.a_command(valid_s=8 * 24 * 3600)

    world.send(command)

    assert [r.code for r in world.results(command)] == ["expires-too-late"]


def test_outcomes_are_forgotten_an_hour_after_the_command_expired_but_not_by_the_devices_own_clock() -> None:
    world = World(reboot_budget=0)
    world.start()
    world.send(world.a_command(valid_s=60))
    world.turns(3_700.0)
    world.answers_time = False
    world.start()
    world.send(world.a_command())
    world.turns(61.0)
    assert len(world.ledger()["entries"]) == 2

    world.answers_time = True
    world.start()
    world.send(world.a_command())

    assert len(world.ledger()["entries"]) == 2


def test_a_full_ledger_refuses_new_commands_and_forgets_none() -> None:
    world = World()
    commands = [world.a_command() for _ in range(1_000)]
    ledger = Ledger()
    for command in commands:
        result = CommandResult(id=command.id, state=REJECTED, at=START, code="reboot-budget")
        entry = Entry(expires_at=command.expires_at, result=result, answered=True)
        ledger = ledger.model_copy(update={"entries": {**ledger.entries, command.id: entry}})
    world.state.files["commands.json"] = ledger.model_dump_json().encode()
    world.start()
    one_more = world.a_command()

    world.send(one_more)
    world.send(commands[0])

    assert [r.code for r in world.results(one_more)] == ["ledger-full"]
    assert [r.code for r in world.results(commands[0])] == ["reboot-budget"]


def test_after_losing_its_ledger_a_device_never_reboots_for_what_it_may_have_done_already() -> None:
    world = World()
    world.start()
    command = world.a_command()
    world.send(command)
    world.state.files["commands.json"] = b'{"v": 1, "entr'
    world.power_cycle()

    world.send(command)
    assert world.state.aside["commands.json"] == b'{"v": 1, "entr'
    assert [r.code for r in world.results(command)][-1] == "ledger-lost"
    assert world.machine.reboots == 1

    world.clock.advance(5.0)
    later = world.a_command()
    world.send(later)
    assert world.states(later) == [IN_PROGRESS]


def test_a_lost_ledger_on_a_full_disk_still_lets_the_device_come_online_and_stays_distrusted() -> None:
    world = World()
    command = world.a_command()
    world.state.files["commands.json"] = b"\0"
    world.state.full = True

    world.start()
    world.send(command)

    assert [e.event for e in world.events()] == ["hello"]
    assert world.machine.reboots == 0
    world.state.full = False
    world.start()
    world.send(command)
    assert [r.code for r in world.results(command)][-1] == "ledger-lost"


def test_with_a_full_disk_a_command_is_answered_as_failed_and_nothing_reboots() -> None:
    world = World()
    world.start()
    command = world.a_command()
    world.state.full = True

    world.send(command)
    world.send(command)

    assert {(r.state, r.code) for r in world.results(command)} == {(FAILED, "state-unwritable")}
    assert world.machine.reboots == 0


def test_messages_that_make_no_sense_change_nothing_but_a_count() -> None:
    world = World()
    world.start()
    topic = topics.command_request(THING, "reboot")
    good = world.a_command()
    no_date = json.dumps(good.to_dict() | {"issued_at": "0001-01-01T00:00:00+14:00"}).encode()
    unknown_field = good.to_json().replace(b'"v":1', b'"v":1,"and":"more"')

    too_large = b'{"a":"' + b"x" * 5_000 + b'"}'
    for payload in (b"", b"\xff\xfe", b"[]", b"{}", unknown_field, no_date, too_large):
        world.deliver(MessageReceived(topic, payload))
    world.deliver(MessageReceived(topics.command_request(THING, "time"), b"midnight"))
    world.deliver(MessageReceived("somebody/elses/topic", good.to_json()))
    world.turns(80.0)

    assert world.reports()[-1].malformed_messages == 9
    assert world.results() == []
    assert world.machine.reboots == 0
    assert "commands.json" not in world.state.files


def test_two_commands_in_one_turn_reboot_once() -> None:
    world = World()
    world.start()
    first, second = world.a_command(), world.a_command()
    topic = topics.command_request(THING, "reboot")
    world.inbox.put(MessageReceived(topic, first.to_json()))
    world.inbox.put(MessageReceived(topic, second.to_json()))

    world.turns()

    assert world.machine.reboots == 1
    assert world.states(second) == [REJECTED]
