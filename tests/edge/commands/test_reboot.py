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
from tests.support.edge.fakes import START, THING, AgentHarness, a_pass, until_killed

IN_PROGRESS, SUCCEEDED = CommandState.IN_PROGRESS, CommandState.SUCCEEDED
DELIVERED = CommandState.DELIVERED
FAILED, REJECTED, EXPIRED = CommandState.FAILED, CommandState.REJECTED, CommandState.EXPIRED


def test_a_reboot_is_proven_by_another_boot_id() -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command()

    harness.send(command)
    harness.power_cycle(off_s=8.0)

    assert harness.states(command) == [IN_PROGRESS, SUCCEEDED]
    proof = harness.results(command)[-1]
    assert (proof.boot_id_before, proof.boot_id, proof.down_s) == ("boot-1", "boot-2", 8.0)
    assert harness.machine.reboots == 1


def test_the_ledger_is_on_disk_before_anybody_is_told_and_the_machine_is_asked_last() -> None:
    harness = AgentHarness()
    harness.start()
    harness.fate.effects.clear()

    harness.send(harness.a_command())

    assert harness.fate.effects[:2] == [
        "write commands.json",
        f"publish {topics.command_result(THING, 'reboot')}",
    ]
    assert harness.fate.effects.index("reboot") >= 2


@pytest.mark.parametrize("rebooted", [False, True], ids=["same boot", "new boot"])
@pytest.mark.parametrize("kill_after", range(1, 9))
def test_killed_after_any_effect_it_never_reboots_twice_and_always_answers(
    kill_after: int, rebooted: bool
) -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command()
    harness.fate.effects.clear()
    harness.fate.kill_after = kill_after
    killed = until_killed(lambda: harness.send(command))
    harness.fate.kill_after = None

    if rebooted:
        harness.power_cycle()
    elif killed:
        harness.start()
    harness.send(command)  # the broker redelivers what was not acknowledged
    harness.turns(200.0)  # longer than the grace period

    assert harness.machine.reboots <= 1
    assert harness.states(command)[-1] is (SUCCEEDED if rebooted else FAILED)
    if not rebooted:
        assert harness.results(command)[-1].code == "reboot-not-performed"


@pytest.mark.parametrize("kill_after", range(1, 6))
def test_killed_while_reporting_the_proof_it_reports_the_proof(kill_after: int) -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command()
    harness.send(command)
    harness.fate.effects.clear()
    harness.fate.kill_after = kill_after
    until_killed(harness.power_cycle)
    harness.fate.kill_after = None

    harness.start()
    harness.turns(200.0)

    assert harness.states(command)[-1] is SUCCEEDED
    assert harness.machine.reboots == 1


def test_a_restart_within_the_same_boot_waits_out_the_grace_and_says_that_there_was_no_reboot() -> None:
    harness = AgentHarness(reboot_grace_s="30")
    harness.start()
    command = harness.a_command()
    harness.machine.error = "systemctl exited with 1: no permission"
    harness.send(command)

    harness.turns(29.0)
    assert harness.states(command) == [IN_PROGRESS]
    harness.turns(2.0)

    assert harness.states(command) == [IN_PROGRESS, FAILED]
    failed = harness.results(command)[-1]
    assert (failed.code, failed.message) == ("reboot-not-performed", "systemctl exited with 1: no permission")


def test_the_machine_is_asked_once_the_applications_have_stopped_and_nothing_starts_meanwhile() -> None:
    harness = AgentHarness()
    harness.containers.stop_at_once = False
    harness.start()
    command = harness.a_command()

    harness.send(command)
    passes = harness.containers.passes
    harness.turns(20.0)
    assert harness.states(command) == [IN_PROGRESS]
    assert (harness.machine.reboots, len(harness.containers.stops)) == (0, 1)

    harness.containers.stops[0].set_result(None)
    harness.deliver(Progressed())
    assert (harness.machine.reboots, harness.containers.passes) == (1, passes)


def test_applications_that_do_not_stop_hold_up_a_reboot_for_the_bound_and_no_longer() -> None:
    harness = AgentHarness()
    harness.containers.stop_at_once = False
    harness.start()
    harness.send(harness.a_command())

    harness.turns(REBOOT_STOP_S - 1)
    assert harness.machine.reboots == 0
    harness.turns(2.0)

    assert harness.machine.reboots == 1


def test_a_stop_that_fails_or_cannot_even_begin_does_not_keep_the_machine_from_rebooting() -> None:
    failed: Future[None] = Future()
    failed.set_exception(RuntimeError("can't start new thread"))
    for broken in (lambda: failed, lambda: 1 / 0):
        harness = AgentHarness()
        harness.containers.stop_all = broken  # type: ignore[method-assign,assignment]
        harness.start()

        harness.send(harness.a_command())

        assert harness.machine.reboots == 1


def test_the_grace_counts_from_the_call_and_then_the_applications_run_again() -> None:
    harness = AgentHarness(reboot_grace_s=60)
    harness.containers.stop_at_once = False
    harness.start()
    command = harness.a_command()
    harness.send(command)
    passes = harness.containers.passes

    harness.turns(REBOOT_STOP_S + 59)
    assert harness.states(command) == [IN_PROGRESS]
    assert harness.containers.passes == passes
    harness.turns(2.0)

    assert (harness.states(command)[-1], harness.results(command)[-1].code) == (
        FAILED,
        "reboot-not-performed",
    )
    assert harness.containers.passes > passes


def test_killed_while_the_applications_stop_the_next_agent_asks_nobody_and_says_that_there_was_none() -> None:
    harness = AgentHarness()
    harness.containers.stop_at_once = False
    harness.start()
    command = harness.a_command()
    harness.send(command)

    harness.start()
    harness.turns(130.0)

    assert harness.machine.reboots == 0
    assert harness.results(command)[-1].code == "reboot-not-performed"


def test_a_redelivered_command_is_answered_again_with_its_outcome_and_does_nothing() -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command()
    harness.send(command)
    harness.power_cycle()

    harness.send(command)

    assert harness.states(command) == [IN_PROGRESS, SUCCEEDED, SUCCEEDED]
    assert harness.results(command)[1] == harness.results(command)[2]
    assert harness.machine.reboots == 1


def test_a_result_that_could_not_be_sent_is_sent_after_the_reboot() -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command()
    harness.link.broker_up = False
    harness.send(command)
    assert harness.machine.reboots == 1
    harness.power_cycle()
    assert harness.states(command) == []

    harness.link.broker_up = True
    harness.turns(10.0)

    assert harness.states(command) == [SUCCEEDED]


def test_an_expired_command_is_refused_by_the_servers_time_whatever_the_device_believes() -> None:
    harness = AgentHarness()
    harness.server_ahead = timedelta(hours=2)  # the device's clock is two hours late
    harness.start()
    command = harness.a_command(issued_ago_s=3600, valid_s=1800)

    harness.send(command)

    result = harness.results(command)[-1]
    assert (result.state, result.code, result.clock) == (EXPIRED, "expired", "server")
    assert harness.machine.reboots == 0


def test_without_the_servers_time_commands_wait_a_minute_and_then_the_devices_clock_judges() -> None:
    harness = AgentHarness()
    harness.answers_time = False
    harness.start()
    good, late = harness.a_command(), harness.a_command(issued_ago_s=100, valid_s=50)

    harness.send(good)
    harness.send(late)
    harness.turns(59.0)
    assert harness.results() == []
    harness.turns(2.0)

    assert [(r.id, r.state, r.clock) for r in harness.results()] == [
        (good.id, IN_PROGRESS, "device"),
        (late.id, EXPIRED, "device"),
    ]


def test_a_held_command_is_judged_as_soon_as_the_server_tells_the_time() -> None:
    harness = AgentHarness()
    harness.answers_time = False
    harness.start()
    command = harness.a_command()
    harness.send(command)
    nonce = harness.events()[-1].nonce
    assert nonce is not None

    harness.clock.advance(5.0)
    harness.answer_time(nonce)
    harness.turns()

    assert [(r.state, r.clock) for r in harness.results(command)] == [(IN_PROGRESS, "server")]


def test_held_commands_survive_a_kill_and_are_bounded() -> None:
    harness = AgentHarness()
    harness.answers_time = False
    harness.start()
    commands = [harness.a_command() for _ in range(65)]
    for command in commands:
        harness.send(command)
    assert [r.code for r in harness.results()] == ["too-many-held"]

    harness.answers_time = True
    harness.start()
    harness.turns(1.0)

    answered = {r.id for r in harness.results()}
    assert answered == {c.id for c in commands}
    assert harness.machine.reboots == 1


def test_an_answer_with_a_nonce_nobody_asked_with_or_after_too_long_tells_no_time() -> None:
    harness = AgentHarness()
    harness.answers_time = False
    harness.start()
    command = harness.a_command()
    harness.send(command)
    nonce = harness.events()[-1].nonce
    assert nonce is not None

    harness.answer_time("stranger-nonce")
    harness.turns()
    harness.clock.advance(31.0)
    harness.answer_time(nonce)
    harness.turns()

    assert harness.results(command) == []


def test_no_more_reboots_than_the_budget_allows_within_an_hour_across_boots() -> None:
    harness = AgentHarness(reboot_budget="2")
    harness.start()
    for _ in range(2):
        harness.send(harness.a_command())
        harness.power_cycle()
    third = harness.a_command()

    harness.send(third)
    assert [(r.state, r.code) for r in harness.results(third)] == [(REJECTED, "reboot-budget")]

    harness.turns(3_601.0)
    fourth = harness.a_command()
    harness.send(fourth)
    assert harness.states(fourth) == [IN_PROGRESS]


def test_reboots_dated_by_a_clock_that_was_years_ahead_use_up_the_budget_for_an_hour_only() -> None:
    harness = AgentHarness(reboot_budget=1)
    harness.answers_time = False
    harness.clock.date += timedelta(days=4_000)
    harness.start()
    first = harness.a_command()
    harness.send(first)
    harness.turns(70.0)
    assert harness.states(first) == [IN_PROGRESS]

    harness.clock.date -= timedelta(days=4_000)
    harness.answers_time = True
    harness.power_cycle()
    second = harness.a_command()
    harness.send(second)
    harness.turns(3_700.0)
    third = harness.a_command()
    harness.send(third)

    assert [r.code for r in harness.results(second)] == ["reboot-budget"]
    assert harness.states(third) == [IN_PROGRESS]


def test_a_reboot_waits_for_nobody_but_is_refused_while_a_container_is_being_replaced_unless_forced() -> None:
    harness = AgentHarness()
    harness.containers.found = a_pass(settled=False, critical=True)
    harness.start()
    polite, forced = harness.a_command(), harness.a_command(force=True)

    harness.send(polite)
    harness.send(forced)

    assert [(r.state, r.code) for r in harness.results(polite)] == [(REJECTED, "update-in-progress")]
    assert harness.states(forced) == [IN_PROGRESS]


def test_a_reboot_waits_for_an_update_lock_says_so_once_and_happens_when_it_is_released() -> None:
    harness = AgentHarness()
    harness.containers.found = a_pass(locked=True)
    harness.start()
    command = harness.a_command()

    harness.send(command)
    harness.turns(120.0)
    harness.send(command)  # the broker redelivers what was not acknowledged
    assert [(r.state, r.code) for r in harness.results(command)] == [(DELIVERED, "update-locked")]
    assert harness.machine.reboots == 0

    harness.containers.found = a_pass(locked=False)
    harness.turns(10.0)
    assert harness.states(command) == [DELIVERED, IN_PROGRESS]
    assert harness.machine.reboots == 1


def test_a_forced_reboot_does_not_wait_for_an_update_lock() -> None:
    harness = AgentHarness()
    harness.containers.found = a_pass(locked=True)
    harness.start()
    command = harness.a_command(force=True)

    harness.send(command)

    assert harness.states(command) == [IN_PROGRESS]


def test_a_reboot_that_waited_for_a_lock_until_it_expired_does_not_happen() -> None:
    harness = AgentHarness()
    harness.containers.found = a_pass(locked=True)
    harness.start()
    command = harness.a_command()

    harness.send(command)
    harness.turns((command.expires_at - command.issued_at).total_seconds() + 10)
    harness.containers.found = a_pass(locked=False)
    harness.turns(10.0)

    assert harness.states(command) == [DELIVERED, EXPIRED]
    assert harness.machine.reboots == 0


def test_a_reboot_that_waits_for_a_lock_outlives_the_agent() -> None:
    harness = AgentHarness()
    harness.containers.found = a_pass(locked=True)
    harness.start()
    command = harness.a_command()
    harness.send(command)

    harness.start()
    harness.containers.found = a_pass(locked=False)
    harness.turns(70.0)

    assert harness.states(command)[-1] is IN_PROGRESS
    assert harness.machine.reboots == 1


def test_a_second_command_during_a_reboot_is_refused_and_containers_are_left_alone() -> None:
    harness = AgentHarness()
    harness.start()
    harness.send(harness.a_command())
    passes = harness.containers.passes
    second = harness.a_command()

    harness.send(second)
    harness.turns(60.0)

    assert [r.code for r in harness.results(second)] == ["reboot-in-progress"]
    assert harness.containers.passes == passes


def test_a_command_that_could_outlive_the_devices_memory_is_refused() -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command(valid_s=8 * 24 * 3600)

    harness.send(command)

    assert [r.code for r in harness.results(command)] == ["expires-too-late"]


def test_outcomes_are_forgotten_an_hour_after_the_command_expired_but_not_by_the_devices_own_clock() -> None:
    harness = AgentHarness(reboot_budget=0)
    harness.start()
    harness.send(harness.a_command(valid_s=60))
    harness.turns(3_700.0)
    harness.answers_time = False
    harness.start()
    harness.send(harness.a_command())
    harness.turns(61.0)
    assert len(harness.ledger()["entries"]) == 2

    harness.answers_time = True
    harness.start()
    harness.send(harness.a_command())

    assert len(harness.ledger()["entries"]) == 2


def test_a_full_ledger_refuses_new_commands_and_forgets_none() -> None:
    harness = AgentHarness()
    commands = [harness.a_command() for _ in range(1_000)]
    ledger = Ledger()
    for command in commands:
        result = CommandResult(id=command.id, state=REJECTED, at=START, code="reboot-budget")
        entry = Entry(expires_at=command.expires_at, result=result, answered=True)
        ledger = ledger.model_copy(update={"entries": {**ledger.entries, command.id: entry}})
    harness.state.files["commands.json"] = ledger.model_dump_json().encode()
    harness.start()
    one_more = harness.a_command()

    harness.send(one_more)
    harness.send(commands[0])

    assert [r.code for r in harness.results(one_more)] == ["ledger-full"]
    assert [r.code for r in harness.results(commands[0])] == ["reboot-budget"]


def test_after_losing_its_ledger_a_device_never_reboots_for_what_it_may_have_done_already() -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command()
    harness.send(command)
    harness.state.files["commands.json"] = b'{"v": 1, "entr'
    harness.power_cycle()

    harness.send(command)
    assert harness.state.aside["commands.json"] == b'{"v": 1, "entr'
    assert [r.code for r in harness.results(command)][-1] == "ledger-lost"
    assert harness.machine.reboots == 1

    harness.clock.advance(5.0)
    later = harness.a_command()
    harness.send(later)
    assert harness.states(later) == [IN_PROGRESS]


def test_a_lost_ledger_on_a_full_disk_still_lets_the_device_come_online_and_stays_distrusted() -> None:
    harness = AgentHarness()
    command = harness.a_command()
    harness.state.files["commands.json"] = b"\0"
    harness.state.full = True

    harness.start()
    harness.send(command)

    assert [e.event for e in harness.events()] == ["hello"]
    assert harness.machine.reboots == 0
    harness.state.full = False
    harness.start()
    harness.send(command)
    assert [r.code for r in harness.results(command)][-1] == "ledger-lost"


def test_with_a_full_disk_a_command_is_answered_as_failed_and_nothing_reboots() -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command()
    harness.state.full = True

    harness.send(command)
    harness.send(command)

    assert {(r.state, r.code) for r in harness.results(command)} == {(FAILED, "state-unwritable")}
    assert harness.machine.reboots == 0


def test_messages_that_make_no_sense_change_nothing_but_a_count() -> None:
    harness = AgentHarness()
    harness.start()
    topic = topics.command_request(THING, "reboot")
    good = harness.a_command()
    no_date = json.dumps(good.to_dict() | {"issued_at": "0001-01-01T00:00:00+14:00"}).encode()
    unknown_field = good.to_json().replace(b'"v":1', b'"v":1,"and":"more"')

    too_large = b'{"a":"' + b"x" * 5_000 + b'"}'
    for payload in (b"", b"\xff\xfe", b"[]", b"{}", unknown_field, no_date, too_large):
        harness.deliver(MessageReceived(topic, payload))
    harness.deliver(MessageReceived(topics.command_request(THING, "time"), b"midnight"))
    harness.deliver(MessageReceived("somebody/elses/topic", good.to_json()))
    harness.turns(80.0)

    assert harness.reports()[-1].malformed_messages == 9
    assert harness.results() == []
    assert harness.machine.reboots == 0
    assert "commands.json" not in harness.state.files


def test_two_commands_in_one_turn_reboot_once() -> None:
    harness = AgentHarness()
    harness.start()
    first, second = harness.a_command(), harness.a_command()
    topic = topics.command_request(THING, "reboot")
    harness.inbox.put(MessageReceived(topic, first.to_json()))
    harness.inbox.put(MessageReceived(topic, second.to_json()))

    harness.turns()

    assert harness.machine.reboots == 1
    assert harness.states(second) == [REJECTED]
