"""What has to reach the cloud does, in order and within bounds, through kills, bad links and bad disks."""

import base64
import json
from collections.abc import Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from contract import topics
from contract.commands import CommandResult, CommandState, ResultAck
from contract.names import identifier
from edge.defaults import ACK_HELLOS, ACK_WAITS_S
from edge.ports.link import QoS
from edge.reporting.outbox import FILE, MESSAGES, RESULT, RETRY_MAX_S, Outbox, Outgoing
from edge.reporting.unacknowledged import HELLO_ONLY_MAX, JUST_NOW_S
from tests.support.edge.fakes import (
    START,
    THING,
    AgentHarness,
    FakeClock,
    FakeLink,
    FakeState,
    Fate,
    until_killed,
)

RESULTS, REPORTS = topics.command_result(THING, "reboot"), topics.report(THING)


def an_id(number: int) -> str:
    return identifier("cmd", unix_ms=1_700_000_000_000, random80=number)


class Device:
    """An outbox whose process can be killed, and what outlives it."""

    def __init__(self) -> None:
        self.fate, self.clock = Fate(), FakeClock()
        self.state, self.link = FakeState(self.fate), FakeLink(self.fate)
        self.sent: list[str] = []
        self.refusals = 0
        self.outbox = self.start()

    def start(self) -> Outbox:
        """Start a new process; the link is there."""
        self.fate.kill_after = None
        self.outbox = Outbox(
            state=self.state,
            link=self.link,
            clock=self.clock,
            spread=lambda seconds: seconds,
            on_sent=self._was_sent,
            on_refused=self._was_refused,
        )
        self.outbox.retry_now()
        return self.outbox

    def _was_sent(self, message: Outgoing) -> None:
        result = message.key.startswith(RESULT)
        self.sent.append(f"result:{said_in(message.payloads[0])}" if result else message.key)

    def _was_refused(self) -> None:
        self.refusals += 1

    def put_result(
        self, number: int, state: CommandState = CommandState.SUCCEEDED, *, expendable: bool = False
    ) -> None:
        result = CommandResult(id=an_id(number), state=state, at=START, message=str(number))
        key = f"{RESULT}{result.id}"
        self.outbox.put(Outgoing(key, RESULTS, (result.to_json(),), expendable=expendable))

    def result(self, number: int, state: CommandState = CommandState.SUCCEEDED) -> None:
        self.put_result(number, state)
        self.outbox.flush()

    def acknowledge(self, *numbers: int, state: CommandState = CommandState.SUCCEEDED) -> None:
        for number in numbers:
            self.outbox.acknowledged(ResultAck(id=an_id(number), state=state))
        self.outbox.flush()

    def hello(self) -> None:
        self.outbox.hello_went_out()
        self.outbox.flush()

    def report(self, number: int) -> None:
        self.outbox.put(Outgoing("report", REPORTS, (f"{number}/1".encode(), f"{number}/2".encode())))
        self.outbox.flush()

    def turns(self, seconds: float) -> None:
        """Let time pass, with a flush whenever the outbox wants one."""
        end_s = self.clock.monotonic() + seconds
        while (now_s := self.clock.monotonic()) < end_s:
            due_s = self.outbox.next_due_s()
            self.clock.advance(min(end_s, end_s if due_s is None else max(due_s, now_s + 0.02)) - now_s)
            self.outbox.flush()

    def heard(self, topic: str) -> list[str]:
        said = [payload for each, payload in self.link.published if each == topic]
        return [said_in(p) if topic == RESULTS else p.decode() for p in said]

    def kept(self) -> list[str]:
        """What is on disk, by key."""
        return [m["key"] for m in json.loads(self.state.files.get(FILE, b"{}")).get("messages", [])]

    def reconnect(self) -> None:
        self.link.broker_up = self.link.nucleus_up = True
        self.outbox.retry_now()
        self.outbox.flush()


def said_in(payload: bytes) -> str:
    return CommandResult.from_json(payload).message or ""


def test_of_reports_only_the_newest_waits_and_of_results_every_one() -> None:
    device = Device()
    device.link.broker_up = False
    for number in range(5):
        device.report(number)
        device.result(number)

    device.reconnect()

    assert device.heard(REPORTS) == ["4/1", "4/2"]
    assert device.heard(RESULTS) == ["0", "1", "2", "3", "4"]
    assert len(device.outbox) == 5
    device.acknowledge(*range(5))
    assert len(device.outbox) == 0


def test_what_waited_goes_out_in_the_order_in_which_it_was_said_also_after_a_kill() -> None:
    device = Device()
    device.link.broker_up = False
    device.result(1)
    device.report(1)
    device.result(2)
    device.report(2)
    device.result(3)

    device.start()
    device.reconnect()

    assert device.sent == ["result:1", "result:2", "report", "result:3"]


def test_no_result_that_the_ledger_knows_is_dropped_whatever_comes_after_it() -> None:
    device = Device()
    device.link.broker_up = False
    for number in range(1_000):
        device.put_result(number)
    for number in range(1_000, 3_000):
        device.put_result(number, expendable=True)
    device.outbox.flush()
    assert len(device.outbox) == MESSAGES

    device.start()
    for number in range(3_000, 3_010):
        device.result(number)
    device.reconnect()

    heard = device.heard(RESULTS)
    assert heard[:1_000] == [str(number) for number in range(1_000)]
    assert heard[-10:] == [str(number) for number in range(3_000, 3_010)]
    assert len(heard) == MESSAGES


def test_only_answers_that_the_device_has_no_room_to_remember_may_be_dropped() -> None:
    harness = AgentHarness(reboot_budget=0)
    harness.start()
    harness.answers_time = False
    harness.link.broker_up = False
    first = harness.a_command()
    harness.send(first)
    harness.start()  # it has no server time: 64 commands are held, and more are refused
    commands = [harness.a_command() for _ in range(66)]
    for command in commands:
        harness.send(command)

    kept = json.loads(harness.state.files[FILE])["messages"]
    expendable = {each["key"]: each.get("expendable", False) for each in kept if "result:" in each["key"]}
    assert expendable == {
        f"result:{first.id}": False,
        **{f"result:{command.id}": True for command in commands[64:]},
    }


def test_without_a_disk_everything_is_still_said_and_is_kept_as_soon_as_there_is_one() -> None:
    device = Device()
    device.state.full = True
    device.result(1)
    device.link.broker_up = False
    device.result(2)
    device.report(1)
    assert FILE not in device.state.files

    device.state.full = False
    device.outbox.flush()
    device.start()
    device.reconnect()

    assert device.heard(RESULTS) == ["1", "1", "2"]  # the first once more: nobody acknowledged it
    assert device.heard(REPORTS) == ["1/1", "1/2"]


def test_a_link_that_comes_and_goes_within_a_message_makes_it_whole_again() -> None:
    device = Device()
    device.link.broker_up = False
    device.report(1)
    whole = device.link.publish

    def breaks_in_between(topic: str, payload: bytes, qos: QoS) -> None:
        whole(topic, payload, qos)
        device.link.broker_up = False

    device.link.publish = breaks_in_between  # type: ignore[method-assign]
    device.reconnect()
    device.link.publish = whole  # type: ignore[method-assign]
    device.reconnect()

    assert device.heard(REPORTS) == ["1/1", "1/1", "1/2"]
    assert device.sent == ["report"]


def test_what_comes_in_shows_that_the_way_out_is_open_so_a_reboot_is_announced_before_it_happens() -> None:
    """On Nucleus Lite nothing else tells that the broker is back; the back-off may have a minute to go."""
    harness = AgentHarness()
    harness.start()
    harness.link.broker_up = False
    harness.turns(20 * 60)
    harness.link.broker_up = True

    command = harness.a_command()
    harness.send(command)

    assert harness.machine.reboots == 1
    assert [result.state for result in harness.results(command)] == [CommandState.IN_PROGRESS]


def test_a_link_that_flaps_is_not_asked_more_often_than_the_patience_allows() -> None:
    device = Device()
    device.link.broker_up = False
    device.result(1)
    asked = 0

    def refuse(topic: str, payload: bytes, qos: QoS) -> None:
        nonlocal asked
        asked += 1
        whole(topic, payload, qos)

    whole, device.link.publish = device.link.publish, refuse  # type: ignore[method-assign]
    for _ in range(3_600):
        device.clock.advance(1.0)
        device.outbox.flush()

    assert asked <= 3_600 / RETRY_MAX_S + 8


def test_a_result_stays_on_disk_until_it_is_acknowledged_and_is_said_again_after_each_wait() -> None:
    device = Device()
    device.result(1)

    for said, wait_s in enumerate(ACK_WAITS_S, start=1):
        device.turns(wait_s - 0.5)
        assert len(device.heard(RESULTS)) == said
        device.turns(0.5)
        assert len(device.heard(RESULTS)) == said + 1
    device.turns(24 * 3600.0)

    assert len(device.heard(RESULTS)) == 1 + len(ACK_WAITS_S)
    assert device.kept() == [f"{RESULT}{an_id(1)}"]
    device.acknowledge(1)
    assert (device.kept(), len(device.outbox)) == ([], 0)


def test_a_link_that_was_silent_and_came_back_makes_no_hello_and_costs_no_result() -> None:
    device = Device()
    device.result(1)
    device.link.published.clear()  # taken, and swallowed

    device.turns(ACK_WAITS_S[0] + 1)

    assert device.heard(RESULTS) == ["1"]


def test_a_cloud_that_never_acknowledges_costs_each_result_five_waits_and_five_hellos() -> None:
    device = Device()
    device.result(1)
    device.turns(sum(ACK_WAITS_S) + 60)

    for _ in range(20):
        device.hello()
        device.turns(3600.0)

    assert len(device.heard(RESULTS)) == 1 + len(ACK_WAITS_S) + ACK_HELLOS
    assert (device.kept(), len(device.outbox), device.outbox.next_due_s()) == ([], 0, None)


def test_how_often_a_result_was_said_survives_a_restart_which_is_a_hello() -> None:
    device = Device()
    device.result(1)
    device.turns(sum(ACK_WAITS_S) + 60)
    for _ in range(20):
        device.start()
        device.hello()
        device.turns(3600.0)

    assert len(device.heard(RESULTS)) == 1 + len(ACK_WAITS_S) + ACK_HELLOS
    assert device.kept() == []


def test_what_a_hello_finds_just_said_it_does_not_say_twice() -> None:
    device = Device()
    device.result(1)
    device.hello()
    assert device.heard(RESULTS) == ["1"]

    device.turns(JUST_NOW_S + 1)
    device.hello()

    assert device.heard(RESULTS) == ["1", "1"]


def test_an_acknowledgement_of_an_older_state_keeps_the_newer_result() -> None:
    device = Device()
    device.result(1, CommandState.IN_PROGRESS)
    device.result(1, CommandState.SUCCEEDED)

    device.acknowledge(1, state=CommandState.IN_PROGRESS)
    assert len(device.outbox) == 1
    device.acknowledge(1, state=CommandState.SUCCEEDED)

    assert len(device.outbox) == 0


def test_many_results_that_nobody_acknowledges_are_bounded_and_the_newest_stay() -> None:
    device = Device()
    for number in range(HELLO_ONLY_MAX + 20):
        device.put_result(number)
    device.outbox.flush()

    device.turns(sum(ACK_WAITS_S) + 60)

    assert device.kept() == [f"{RESULT}{an_id(number)}" for number in range(20, HELLO_ONLY_MAX + 20)]


def test_a_power_cut_loses_no_result_that_a_nucleus_had_in_its_spool() -> None:
    device = Device()
    device.link.goes_offline()
    device.result(1)
    assert device.link.spool != []

    device.link.dies()
    device.start()
    device.link.nucleus_up = True
    device.link.comes_online()
    device.reconnect()

    assert device.heard(RESULTS) == ["1"]


def test_a_report_that_is_refused_holds_up_no_result_and_both_ways_are_tried_by_themselves() -> None:
    device = Device()
    device.link.goes_offline()

    device.report(1)
    device.result(1)
    device.report(2)

    assert len(device.link.spool) == 1
    device.link.comes_online()
    device.turns(RETRY_MAX_S)
    assert device.heard(REPORTS) == ["2/1", "2/2"]
    assert device.refusals >= 1


def test_only_results_go_with_qos_1() -> None:
    device = Device()
    device.report(1)
    device.result(1)
    device.outbox.put(Outgoing("hello", "t", make=lambda: b"h", durable=False))
    device.outbox.flush()

    assert device.link.qos == [0, 0, 1, 0]


def test_a_report_that_goes_out_is_never_written_and_one_that_cannot_is_at_most_every_ten_minutes() -> None:
    device = Device()
    for number in range(100):
        device.report(number)
    assert device.state.writes == 0

    device.link.broker_up = False
    for number in range(12 * 60):  # one a minute
        device.report(number)
        device.turns(60.0)
    assert 70 <= device.state.writes <= 12 * 6 + 1
    assert device.kept() == ["report"]

    device.reconnect()
    assert device.kept() == []


def test_the_newest_report_is_on_disk_when_the_agent_ends() -> None:
    device = Device()
    device.link.broker_up = False
    device.report(1)
    device.report(2)
    device.outbox.close()

    device.start()
    device.reconnect()

    assert device.heard(REPORTS) == ["2/1", "2/2"]


def test_a_file_of_the_agent_before_acknowledgements_is_read_and_it_can_read_ours() -> None:
    result = CommandResult(id=an_id(1), state=CommandState.FAILED, at=START, message="1")
    messages = [
        {"key": key, "topic": topic, "payloads": [base64.b64encode(payload).decode()]}
        for key, topic, payload in (
            ("report", REPORTS, b"1/1"),
            (f"{RESULT}{result.id}", RESULTS, result.to_json()),
        )
    ]
    device = Device()
    device.state.files[FILE] = json.dumps({"messages": messages}).encode()

    device.start().flush()

    assert (device.heard(REPORTS), device.heard(RESULTS)) == (["1/1"], ["1"])
    kept = json.loads(device.state.files[FILE])
    assert kept == {"messages": messages[1:]}  # that agent refuses fields that it does not know


_ACTIONS = st.one_of(
    st.tuples(st.just("result"), st.integers(0, 0)),
    st.tuples(st.just("report"), st.integers(0, 0)),
    st.tuples(st.just("broker"), st.booleans()),
    st.tuples(st.just("nucleus"), st.booleans()),
    st.tuples(st.just("disk"), st.booleans()),
    st.tuples(st.just("time"), st.sampled_from([1, 70])),
    st.tuples(st.just("kill"), st.integers(1, 3)),
    st.tuples(st.just("acknowledgement"), st.integers(1, 6)),
    st.tuples(st.just("hello"), st.integers(0, 0)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_ACTIONS, max_size=30))
def test_whatever_happens_what_was_on_disk_or_outlived_nothing_arrives_and_results_arrive_in_order(
    actions: list[tuple[str, int]],
) -> None:
    device = Device()
    said, safe = 0, set[int]()  # safe: no kill can take it any more
    gone = set[int]()  # acknowledged, so that it need not be said again, but may be

    def until_death(act: Callable[[], None]) -> None:
        if until_killed(act):
            device.start()

    for action, number in actions:
        match action:
            case "result":
                said += 1
                until_death(partial(device.result, said))
            case "report":
                said += 1
                until_death(partial(device.report, said))
            case "broker":
                device.link.broker_up = bool(number)
            case "nucleus":
                device.link.nucleus_up = bool(number)
            case "disk":
                device.state.full = not number
            case "time":
                device.clock.advance(number)
                until_death(device.outbox.flush)
            case "hello":
                until_death(device.hello)
            case "acknowledgement":
                if str(number) in device.heard(RESULTS):
                    gone.add(number)
                    until_death(partial(device.acknowledge, number))
            case _:
                device.fate.effects.clear()
                device.fate.kill_after = number
        on_disk = device.state.files.get(FILE, b"")
        safe |= {n for n in range(said + 1) if f'"{RESULT}{an_id(n)}"'.encode() in on_disk}

    device.start()
    device.state.full = False
    device.reconnect()
    device.outbox.flush()

    heard = [int(each) for each in device.heard(RESULTS)]
    assert set(heard) >= safe - gone
    firsts = list(dict.fromkeys(heard))
    assert firsts == sorted(firsts)
    kept = set(device.kept())
    assert {f"{RESULT}{an_id(n)}" for n in safe - gone} <= kept <= {f"{RESULT}{an_id(n)}" for n in heard}
    device.acknowledge(*heard)
    assert len(device.outbox) == 0
    assert device.kept() == []
