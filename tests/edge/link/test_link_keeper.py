"""The loop and a link that is slow, silent, refused or gone: containers are supervised all the time."""

import itertools
from collections import Counter

import pytest

from contract import topics
from contract.commands import CommandState, ResultAck
from contract.defaults import LEVEL
from edge.defaults import ACK_WAITS_S, HEARTBEAT_S
from edge.events import LinkAnswered, LinkLost, MessageReceived
from edge.link.endings import ENDS_MAX
from edge.ports.link import Unauthorized
from tests.support.edge.fakes import THING, AgentHarness, a_pass, running

pytestmark = pytest.mark.slow

NIGHT_S = 8 * 3600.0
REBOOT = topics.command_request(THING, "reboot")


def supervised(harness: AgentHarness, seconds: float) -> list[float]:
    """Let time pass; return the waits between two looks at the containers."""
    looks = [harness.clock.elapsed_s]
    converge = harness.containers.converge

    def counted() -> object:
        looks.append(harness.clock.elapsed_s)
        return converge()

    harness.containers.converge = counted  # type: ignore[method-assign,assignment]
    harness.turns(seconds)
    harness.containers.converge = converge  # type: ignore[method-assign]
    return [later - earlier for earlier, later in itertools.pairwise(looks)]


def test_a_night_offline_after_a_boot_leaves_containers_supervised_and_every_message_comes_once() -> None:
    harness = AgentHarness()
    harness.link.boots_offline()
    harness.start()

    waits = supervised(harness, NIGHT_S)
    harness.containers.found = a_pass(running("web"))
    harness.turns(30.0)

    assert len(waits) >= NIGHT_S / 5.0
    assert max(waits) <= 5.0  # what a pass asked for
    assert set(harness.link.asked.values()) == {1}  # nothing was begun a second time, all night
    assert harness.link.published == []
    harness.link.comes_online()
    harness.turns(1.0)
    assert set(harness.link.subscriptions.values()) == {1}
    assert [event.event for event in harness.events()] == ["hello"]
    assert [report.application_names for report in harness.reports()] == [["web"]]

    command = harness.a_command()
    harness.link.arrive(REBOOT, command.to_json())
    harness.turns(1.0)
    assert harness.machine.reboots == 1
    assert harness.states(command) == [CommandState.IN_PROGRESS]
    assert harness.results(command)[0].clock == "server"  # the one hello's answer told the time


def test_an_outage_replays_nothing_one_hello_and_one_newest_report_go_out_after_it() -> None:
    harness = AgentHarness()
    harness.start()
    harness.link.goes_offline()
    before = len(harness.link.published)

    harness.turns(24 * 3600.0)
    harness.containers.found = a_pass(running("web"))
    harness.turns(30.0)
    assert harness.link.spool == []
    harness.link.comes_online()
    harness.turns(HEARTBEAT_S)

    said = Counter(topic for topic, _ in harness.link.published[before:])
    assert said[topics.connection(THING)] == 1
    assert harness.link.published[before][0] == topics.connection(THING)
    assert 1 <= said[topics.report(THING)] <= 2  # the one that waited, and perhaps the next heartbeat
    assert all(report.application_names == ["web"] for report in harness.reports()[1:])


def test_commands_are_carried_out_and_answered_while_reports_are_refused() -> None:
    harness = AgentHarness()
    harness.start()
    harness.link.goes_offline()  # and the session's message arrives all the same
    harness.turns(600.0)
    command = harness.a_command()

    harness.send(command)

    assert harness.machine.reboots == 1
    assert [topic.rsplit("/", 1)[-1] for topic, _ in harness.link.spool] == ["res"]


def test_a_subscription_that_is_refused_is_tried_again_and_no_other_with_it() -> None:
    harness = AgentHarness()
    harness.link.answers = False
    harness.start()
    refused = next(number for topic, number in harness.link.unanswered if topic == REBOOT)

    harness.deliver(LinkAnswered(refused, Unauthorized(REBOOT)))
    harness.turns(5.0)

    assert harness.link.asked[REBOOT] == 2
    assert harness.link.asked[topics.command_request(THING, "time")] == 1


def test_a_lost_link_makes_each_subscription_anew_once_whatever_the_old_one_still_answers() -> None:
    harness = AgentHarness()
    harness.link.answers = False
    harness.start()
    old = [number for _, number in harness.link.unanswered]

    harness.deliver(LinkLost("closed"))
    harness.turns(5.0)
    for number in old:
        harness.deliver(LinkAnswered(number))
    harness.turns(600.0)

    assert harness.link.asked[REBOOT] == 2
    assert REBOOT not in harness.link.subscribed
    harness.link.comes_online()
    harness.turns(1.0)
    assert harness.link.subscriptions[REBOOT] == 1


def test_a_nucleus_that_accepts_a_connection_and_never_answers_is_given_up_and_nobody_waits() -> None:
    harness = AgentHarness()
    harness.start()
    harness.link.reconnect = lambda number: None  # type: ignore[method-assign]
    harness.inbox.put(LinkLost("restarted"))
    began_s = harness.clock.elapsed_s
    passes = harness.containers.passes

    assert harness.turns(600.0) == 1

    assert harness.clock.elapsed_s - began_s < 200.0
    assert harness.containers.passes - passes >= (harness.clock.elapsed_s - began_s) / 5.0 - 1


def test_a_connection_that_closes_before_its_answer_is_here_is_made_again() -> None:
    harness = AgentHarness()
    harness.start()
    harness.link.closes_at_once = True
    harness.inbox.put(LinkLost("closed"))
    harness.turns(1.0)
    assert harness.link.connects == 1
    assert harness.link.subscriptions.total() == 0

    harness.link.closes_at_once = False
    harness.turns(5.0)

    assert harness.link.connects == 2
    assert harness.link.subscriptions[REBOOT] == 1


def test_connections_that_close_at_once_for_a_minute_end_the_agent_as_ones_that_fail_do() -> None:
    harness = AgentHarness()
    harness.start()
    harness.link.closes_at_once = True
    harness.inbox.put(LinkLost("closed"))
    began_s = harness.clock.elapsed_s

    assert harness.turns(600.0) == 1
    assert 50.0 < harness.clock.elapsed_s - began_s < 200.0


def test_late_news_of_an_old_connection_says_nothing_of_the_new_one() -> None:
    harness = AgentHarness()
    harness.start()
    reconnect = harness.link.reconnect

    def late(number: int) -> None:
        harness.inbox.put(LinkLost("stream closed"))
        reconnect(number)
        harness.inbox.put(LinkLost("another stream closed"))

    harness.link.reconnect = late  # type: ignore[method-assign]
    harness.inbox.put(LinkLost("closed"))
    harness.turns(120.0)

    assert harness.link.connects == 1
    assert harness.link.subscriptions[REBOOT] == 1
    harness.link.lost("and this one too")
    harness.turns(5.0)
    assert harness.link.connects == 2


def test_a_token_that_is_refused_ends_the_agent_within_ten_seconds() -> None:
    harness = AgentHarness()
    harness.start()
    harness.link.token_is_good = False
    began_s = harness.clock.elapsed_s
    harness.inbox.put(LinkLost("nucleus restarted"))

    assert harness.turns(600.0) == 1
    assert harness.clock.elapsed_s - began_s <= 10.0


def test_a_nucleus_that_is_away_is_waited_for_and_a_closed_connection_as_it_goes_down_is_no_verdict() -> None:
    harness = AgentHarness()
    harness.start()
    harness.link.token_is_good = False
    harness.inbox.put(LinkLost("nucleus restarts"))
    harness.turns(1.0)
    harness.link.nucleus_up = False
    assert harness.turns(10.0) is None
    harness.link.nucleus_up = harness.link.token_is_good = True

    assert harness.turns(60.0) is None
    assert [event.event for event in harness.events()] == ["hello", "hello"]


def test_an_agent_whose_place_is_wanted_ends_at_the_first_refusal_however_often_it_ended_already() -> None:
    harness = AgentHarness()
    harness.lock_wanted = True
    for _ in range(ENDS_MAX + 2):
        harness.link.token_is_good = True
        harness.start()
        harness.link.token_is_good = False
        began_s = harness.clock.elapsed_s
        harness.inbox.put(LinkLost("nucleus died"))

        assert harness.turns(600.0) == 1
        assert harness.clock.elapsed_s - began_s < 1.0


def test_four_restarts_of_the_nucleus_within_the_hour_end_the_agent_twice_and_leave_it_running() -> None:
    harness = AgentHarness()
    ends = 0
    for _ in range(4):
        harness.link.token_is_good = True
        if ends <= ENDS_MAX:
            harness.start()
        harness.link.token_is_good = False
        harness.inbox.put(LinkLost("nucleus restarted"))
        if harness.turns(300.0) is not None:
            ends += 1
        elif ends == ENDS_MAX:
            break  # this process has a void token, and stays
    assert ends == ENDS_MAX

    passes = harness.containers.passes
    assert harness.turns(2_000.0) is None
    assert harness.containers.passes - passes >= 2_000 / 5
    assert harness.turns(3_600.0) == 1  # the hour is over: a new token at last


def test_a_full_disk_keeps_no_agent_from_a_new_token_for_ever() -> None:
    harness = AgentHarness()
    harness.start()
    harness.state.full = True
    harness.link.token_is_good = False
    harness.inbox.put(LinkLost("nucleus restarted"))
    began_s = harness.clock.elapsed_s

    assert harness.turns(600.0) == 1
    assert harness.clock.elapsed_s - began_s > 50.0


def test_a_result_in_the_spool_of_a_nucleus_that_is_killed_is_said_again_to_the_next_one() -> None:
    harness = AgentHarness()
    harness.start()
    harness.link.goes_offline()
    command = harness.a_command()
    harness.send(command)
    assert len(harness.link.spool) == 1

    harness.link.dies()
    harness.turns(3.0)
    harness.link.nucleus_up = True
    harness.link.comes_online()
    harness.turns(60.0)

    assert harness.states(command)[0] is CommandState.IN_PROGRESS


def test_a_result_survives_a_power_cut_while_offline_and_arrives_after_the_next_boot() -> None:
    harness = AgentHarness()
    harness.start()
    harness.link.goes_offline()
    command = harness.a_command()
    harness.send(command)

    harness.link.dies()
    harness.link.nucleus_up = True
    harness.link.boots_offline()
    harness.power_cycle()
    harness.turns(600.0)
    assert harness.results() == []
    harness.link.dies()  # once more, with the proof in its spool
    harness.link.nucleus_up = True
    harness.link.boots_offline()
    harness.start()
    harness.turns(10.0)
    harness.link.comes_online()
    harness.turns(10.0)

    assert harness.states(command)[-1] is CommandState.SUCCEEDED
    assert harness.results(command)[-1].boot_id == "boot-2"


def test_what_a_silent_link_swallowed_is_said_again_and_ends_with_its_acknowledgement() -> None:
    harness = AgentHarness(reboot_budget=0)
    harness.start()
    harness.acknowledges = False
    command = harness.a_command()
    harness.send(command)
    harness.link.published = [each for each in harness.link.published if not each[0].endswith("/res")]
    harness._taken = len(harness.link.published)
    harness.acknowledges = True

    harness.turns(ACK_WAITS_S[0] + 1)
    harness.turns(24 * 3600.0)

    assert harness.states(command) == [CommandState.REJECTED]


def test_each_hello_says_again_what_is_not_acknowledged() -> None:
    harness = AgentHarness(reboot_budget=0)
    harness.start()
    harness.acknowledges = False
    command = harness.a_command()
    harness.send(command)
    harness.turns(30.0)

    harness.deliver(LinkLost("closed"))
    harness.turns(2.0)

    assert harness.states(command) == [CommandState.REJECTED] * 2


def test_an_acknowledgement_is_heard_and_of_another_command_changes_nothing() -> None:
    harness = AgentHarness(reboot_budget=0)
    harness.start()
    harness.acknowledges = False
    command, other = harness.a_command(), harness.a_command()
    harness.send(command)
    ack = topics.command_request(THING, "ack")

    harness.deliver(MessageReceived(ack, ResultAck(id=other.id, state=CommandState.REJECTED).to_json()))
    harness.deliver(MessageReceived(ack, b"{}"))
    harness.turns(ACK_WAITS_S[0] + 1)
    assert len(harness.states(command)) == 2
    harness.deliver(MessageReceived(ack, ResultAck(id=command.id, state=CommandState.REJECTED).to_json()))
    harness.turns(24 * 3600.0)

    assert len(harness.states(command)) == 2
    assert harness.reports()[-1].malformed_messages == 1


@pytest.mark.parametrize("valid_s", [60.0, 24 * 3600.0], ids=["expired", "valid"])
def test_an_old_copy_of_a_command_that_a_cut_link_replays_reboots_nobody_a_second_time(
    valid_s: float,
) -> None:
    harness = AgentHarness()
    harness.start()
    command = harness.a_command(valid_s=valid_s)
    harness.send(command)
    harness.power_cycle()
    harness.link.goes_offline()
    harness.turns(8 * 3600.0)
    harness.link.comes_online()
    harness.turns(1.0)
    never = harness.a_command(issued_ago_s=8 * 3600.0, valid_s=60.0)

    for _ in range(5):
        harness.link.arrive(REBOOT, command.to_json())
        harness.link.arrive(REBOOT, never.to_json())
    harness.turns(10.0)

    assert harness.machine.reboots == 1
    states = harness.states(command)
    assert (states[:2], states.count(CommandState.IN_PROGRESS)) == (
        [CommandState.IN_PROGRESS, CommandState.SUCCEEDED],
        1,
    )
    assert set(states[2:]) == {CommandState.EXPIRED if valid_s < 3_600 else CommandState.SUCCEEDED}
    assert set(harness.states(never)) == {CommandState.EXPIRED}


def test_hello_and_reports_say_what_this_agent_can() -> None:
    harness = AgentHarness()
    harness.start()

    levels = [event.level for event in harness.events()] + [report.level for report in harness.reports()]
    assert levels == [LEVEL, LEVEL]


@pytest.mark.parametrize(("consults", "nucleus"), [(True, "classic"), (False, "lite")])
def test_hello_and_reports_say_which_nucleus_answered(consults: bool, nucleus: str) -> None:
    harness = AgentHarness()
    harness.link.consults = consults
    harness.start()

    said = [event.nucleus for event in harness.events()] + [report.nucleus for report in harness.reports()]
    assert said == [nucleus, nucleus]


def test_a_nucleus_that_failed_to_answer_is_not_taken_for_lite() -> None:
    harness = AgentHarness()
    harness.link.consults, harness.link.says = False, "the nucleus is closing"
    harness.start()

    assert [report.nucleus for report in harness.reports()] == [None]


def test_which_nucleus_it_is_is_reported_as_soon_as_it_is_known() -> None:
    harness = AgentHarness()
    harness.link.silent_about_updates = True
    harness.start()
    harness.turns(3.0)
    assert [report.nucleus for report in harness.reports()] == [None]

    harness.link.comes_online()
    harness.turns(3.0)

    assert [report.nucleus for report in harness.reports()] == [None, "classic"]
