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
from tests.support.edge.fakes import THING, World, a_pass, running

NIGHT_S = 8 * 3600.0
REBOOT = topics.command_request(THING, "reboot")


def supervised(world: World, seconds: float) -> list[float]:
    """Let time pass; return the waits between two looks at the containers."""
    looks = [world.clock.elapsed_s]
    converge = world.containers.converge

    def counted() -> object:
        looks.append(world.clock.elapsed_s)
        return converge()

    world.containers.converge = counted  # type: ignore[method-assign,assignment]
    world.turns(seconds)
    world.containers.converge = converge  # type: ignore[method-assign]
    return [later - earlier for earlier, later in itertools.pairwise(looks)]


def test_a_night_offline_after_a_boot_leaves_containers_supervised_and_every_message_comes_once() -> None:
    world = World()
    world.link.boots_offline()
    world.start()

    waits = supervised(world, NIGHT_S)
    world.containers.found = a_pass(running("web"))
    world.turns(30.0)

    assert len(waits) >= NIGHT_S / 5.0
    assert max(waits) <= 5.0  # what a pass asked for
    assert set(world.link.asked.values()) == {1}  # nothing was begun a second time, all night
    assert world.link.published == []
    world.link.comes_online()
    world.turns(1.0)
    assert set(world.link.subscriptions.values()) == {1}
    assert [event.event for event in world.events()] == ["hello"]
    assert [report.application_names for report in world.reports()] == [["web"]]

    command = world.a_command()
    world.link.arrive(REBOOT, command.to_json())
    world.turns(1.0)
    assert world.machine.reboots == 1
    assert world.states(command) == [CommandState.IN_PROGRESS]
    assert world.results(command)[0].clock == "server"  # the one hello's answer told the time


def test_an_outage_replays_nothing_one_hello_and_one_newest_report_go_out_after_it() -> None:
    world = World()
    world.start()
    world.link.goes_offline()
    before = len(world.link.published)

    world.turns(24 * 3600.0)
    world.containers.found = a_pass(running("web"))
    world.turns(30.0)
    assert world.link.spool == []
    world.link.comes_online()
    world.turns(HEARTBEAT_S)

    said = Counter(topic for topic, _ in world.link.published[before:])
    assert said[topics.connection(THING)] == 1
    assert world.link.published[before][0] == topics.connection(THING)
    assert 1 <= said[topics.report(THING)] <= 2  # the one that waited, and perhaps the next heartbeat
    assert all(report.application_names == ["web"] for report in world.reports()[1:])


def test_commands_are_carried_out_and_answered_while_reports_are_refused() -> None:
    world = World()
    world.start()
    world.link.goes_offline()  # and the session's message arrives all the same
    world.turns(600.0)
    command = world.a_command()

    world.send(command)

    assert world.machine.reboots == 1
    assert [topic.rsplit("/", 1)[-1] for topic, _ in world.link.spool] == ["res"]


def test_a_subscription_that_is_refused_is_tried_again_and_no_other_with_it() -> None:
    world = World()
    world.link.answers = False
    world.start()
    refused = next(number for topic, number in world.link.unanswered if topic == REBOOT)

    world.deliver(LinkAnswered(refused, Unauthorized(REBOOT)))
    world.turns(5.0)

    assert world.link.asked[REBOOT] == 2
    assert world.link.asked[topics.command_request(THING, "time")] == 1


def test_a_lost_link_makes_each_subscription_anew_once_whatever_the_old_one_still_answers() -> None:
    world = World()
    world.link.answers = False
    world.start()
    old = [number for _, number in world.link.unanswered]

    world.deliver(LinkLost("closed"))
    world.turns(5.0)
    for number in old:
        world.deliver(LinkAnswered(number))
    world.turns(600.0)

    assert world.link.asked[REBOOT] == 2
    assert REBOOT not in world.link.subscribed
    world.link.comes_online()
    world.turns(1.0)
    assert world.link.subscriptions[REBOOT] == 1


def test_a_nucleus_that_accepts_a_connection_and_never_answers_is_given_up_and_nobody_waits() -> None:
    world = World()
    world.start()
    world.link.reconnect = lambda number: None  # type: ignore[method-assign]
    world.inbox.put(LinkLost("restarted"))
    began_s = world.clock.elapsed_s
    passes = world.containers.passes

    assert world.turns(600.0) == 1

    assert world.clock.elapsed_s - began_s < 200.0
    assert world.containers.passes - passes >= (world.clock.elapsed_s - began_s) / 5.0 - 1


def test_a_connection_that_closes_before_its_answer_is_here_is_made_again() -> None:
    world = World()
    world.start()
    world.link.closes_at_once = True
    world.inbox.put(LinkLost("closed"))
    world.turns(1.0)
    assert world.link.connects == 1
    assert world.link.subscriptions.total() == 0

    world.link.closes_at_once = False
    world.turns(5.0)

    assert world.link.connects == 2
    assert world.link.subscriptions[REBOOT] == 1


def test_connections_that_close_at_once_for_a_minute_end_the_agent_as_ones_that_fail_do() -> None:
    world = World()
    world.start()
    world.link.closes_at_once = True
    world.inbox.put(LinkLost("closed"))
    began_s = world.clock.elapsed_s

    assert world.turns(600.0) == 1
    assert 50.0 < world.clock.elapsed_s - began_s < 200.0


def test_late_news_of_an_old_connection_says_nothing_of_the_new_one() -> None:
    world = World()
    world.start()
    reconnect = world.link.reconnect

    def late(number: int) -> None:
        world.inbox.put(LinkLost("stream closed"))
        reconnect(number)
        world.inbox.put(LinkLost("another stream closed"))

    world.link.reconnect = late  # type: ignore[method-assign]
    world.inbox.put(LinkLost("closed"))
    world.turns(120.0)

    assert world.link.connects == 1
    assert world.link.subscriptions[REBOOT] == 1
    world.link.lost("and this one too")
    world.turns(5.0)
    assert world.link.connects == 2


def test_a_token_that_is_refused_ends_the_agent_within_ten_seconds() -> None:
    world = World()
    world.start()
    world.link.token_is_good = False
    began_s = world.clock.elapsed_s
    world.inbox.put(LinkLost("nucleus restarted"))

    assert world.turns(600.0) == 1
    assert world.clock.elapsed_s - began_s <= 10.0


def test_a_nucleus_that_is_away_is_waited_for_and_a_closed_connection_as_it_goes_down_is_no_verdict() -> None:
    world = World()
    world.start()
    world.link.token_is_good = False
    world.inbox.put(LinkLost("nucleus restarts"))
    world.turns(1.0)
    world.link.nucleus_up = False
    assert world.turns(10.0) is None
    world.link.nucleus_up = world.link.token_is_good = True

    assert world.turns(60.0) is None
    assert [event.event for event in world.events()] == ["hello", "hello"]


def test_an_agent_whose_place_is_wanted_ends_at_the_first_refusal_however_often_it_ended_already() -> None:
    world = World()
    world.lock_wanted = True
    for _ in range(ENDS_MAX + 2):
        world.link.token_is_good = True
        world.start()
        world.link.token_is_good = False
        began_s = world.clock.elapsed_s
        world.inbox.put(LinkLost("nucleus died"))

        assert world.turns(600.0) == 1
        assert world.clock.elapsed_s - began_s < 1.0


def test_four_restarts_of_the_nucleus_within_the_hour_end_the_agent_twice_and_leave_it_running() -> None:
    world = World()
    ends = 0
    for _ in range(4):
        world.link.token_is_good = True
        if ends <= ENDS_MAX:
            world.start()
        world.link.token_is_good = False
        world.inbox.put(LinkLost("nucleus restarted"))
        if world.turns(300.0) is not None:
            ends += 1
        elif ends == ENDS_MAX:
            break  # this process has a void token, and stays
    assert ends == ENDS_MAX

    passes = world.containers.passes
    assert world.turns(2_000.0) is None
    assert world.containers.passes - passes >= 2_000 / 5
    assert world.turns(3_600.0) == 1  # the hour is over: a new token at last


def test_a_full_disk_keeps_no_agent_from_a_new_token_for_ever() -> None:
    world = World()
    world.start()
    world.state.full = True
    world.link.token_is_good = False
    world.inbox.put(LinkLost("nucleus restarted"))
    began_s = world.clock.elapsed_s

    assert world.turns(600.0) == 1
    assert world.clock.elapsed_s - began_s > 50.0


def test_a_result_in_the_spool_of_a_nucleus_that_is_killed_is_said_again_to_the_next_one() -> None:
    world = World()
    world.start()
    world.link.goes_offline()
    command = world.a_command()
    world.send(command)
    assert len(world.link.spool) == 1

    world.link.dies()
    world.turns(3.0)
    world.link.nucleus_up = True
    world.link.comes_online()
    world.turns(60.0)

    assert world.states(command)[0] is CommandState.IN_PROGRESS


def test_a_result_survives_a_power_cut_while_offline_and_arrives_after_the_next_boot() -> None:
    world = World()
    world.start()
    world.link.goes_offline()
    command = world.a_command()
    world.send(command)

    world.link.dies()
    world.link.nucleus_up = True
    world.link.boots_offline()
    world.power_cycle()
    world.turns(600.0)
    assert world.results() == []
    world.link.dies()  # once more, with the proof in its spool
    world.link.nucleus_up = True
    world.link.boots_offline()
    world.start()
    world.turns(10.0)
    world.link.comes_online()
    world.turns(10.0)

    assert world.states(command)[-1] is CommandState.SUCCEEDED
    assert world.results(command)[-1].boot_id == "boot-2"


def test_what_a_silent_link_swallowed_is_said_again_and_ends_with_its_acknowledgement() -> None:
    world = World(reboot_budget=0)
    world.start()
    world.acknowledges = False
    command = world.a_command()
    world.send(command)
    world.link.published = [each for each in world.link.published if not each[0].endswith("/res")]
    world._taken = len(world.link.published)
    world.acknowledges = True

    world.turns(ACK_WAITS_S[0] + 1)
    world.turns(24 * 3600.0)

    assert world.states(command) == [CommandState.REJECTED]


def test_each_hello_says_again_what_is_not_acknowledged() -> None:
    world = World(reboot_budget=0)
    world.start()
    world.acknowledges = False
    command = world.a_command()
    world.send(command)
    world.turns(30.0)

    world.deliver(LinkLost("closed"))
    world.turns(2.0)

    assert world.states(command) == [CommandState.REJECTED] * 2


def test_an_acknowledgement_is_heard_and_of_another_command_changes_nothing() -> None:
    world = World(reboot_budget=0)
    world.start()
    world.acknowledges = False
    command, other = world.a_command(), world.a_command()
    world.send(command)
    ack = topics.command_request(THING, "ack")

    world.deliver(MessageReceived(ack, ResultAck(id=other.id, state=CommandState.REJECTED).to_json()))
    world.deliver(MessageReceived(ack, b"{}"))
    world.turns(ACK_WAITS_S[0] + 1)
    assert len(world.states(command)) == 2
    world.deliver(MessageReceived(ack, ResultAck(id=command.id, state=CommandState.REJECTED).to_json()))
    world.turns(24 * 3600.0)

    assert len(world.states(command)) == 2
    assert world.reports()[-1].malformed_messages == 1


@pytest.mark.parametrize("valid_s", [60.0, 24 * 3600.0], ids=["expired", "valid"])
def test_an_old_copy_of_a_command_that_a_cut_link_replays_reboots_nobody_a_second_time(
    valid_s: float,
) -> None:
    world = World()
    world.start()
    command = world.a_command(valid_s=valid_s)
    world.send(command)
    world.power_cycle()
    world.link.goes_offline()
    world.turns(8 * 3600.0)
    world.link.comes_online()
    world.turns(1.0)
    never = world.a_command(issued_ago_s=8 * 3600.0, valid_s=60.0)

    for _ in range(5):
        world.link.arrive(REBOOT, command.to_json())
        world.link.arrive(REBOOT, never.to_json())
    world.turns(10.0)

    assert world.machine.reboots == 1
    states = world.states(command)
    assert (states[:2], states.count(CommandState.IN_PROGRESS)) == (
        [CommandState.IN_PROGRESS, CommandState.SUCCEEDED],
        1,
    )
    assert set(states[2:]) == {CommandState.EXPIRED if valid_s < 3_600 else CommandState.SUCCEEDED}
    assert set(world.states(never)) == {CommandState.EXPIRED}


def test_hello_and_reports_say_what_this_agent_can() -> None:
    world = World()
    world.start()

    levels = [event.level for event in world.events()] + [report.level for report in world.reports()]
    assert levels == [LEVEL, LEVEL]


@pytest.mark.parametrize(("consults", "nucleus"), [(True, "classic"), (False, "lite")])
def test_hello_and_reports_say_which_nucleus_answered(consults: bool, nucleus: str) -> None:
    world = World()
    world.link.consults = consults
    world.start()

    said = [event.nucleus for event in world.events()] + [report.nucleus for report in world.reports()]
    assert said == [nucleus, nucleus]


def test_a_nucleus_that_failed_to_answer_is_not_taken_for_lite() -> None:
    world = World()
    world.link.consults, world.link.says = False, "the nucleus is closing"
    world.start()

    assert [report.nucleus for report in world.reports()] == [None]


def test_which_nucleus_it_is_is_reported_as_soon_as_it_is_known() -> None:
    world = World()
    world.link.silent_about_updates = True
    world.start()
    world.turns(3.0)
    assert [report.nucleus for report in world.reports()] == [None]

    world.link.comes_online()
    world.turns(3.0)

    assert [report.nucleus for report in world.reports()] == [None, "classic"]
