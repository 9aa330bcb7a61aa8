"""What has to reach the cloud does, in order and within bounds, through kills, bad links and bad disks."""

import json
from collections.abc import Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from contract import topics
from contract.commands import CommandState
from edge.outbox import FILE, MESSAGES, RETRY_MAX_S, Outbox, Outgoing
from tests.edge.fakes import THING, FakeClock, FakeLink, FakeState, Fate, World, until_killed

RESULTS, REPORTS = topics.command_result(THING, "reboot"), topics.report(THING)


class Device:
    """An outbox whose process can be killed, and what outlives it."""

    def __init__(self) -> None:
        self.fate, self.clock = Fate(), FakeClock()
        self.state, self.link = FakeState(self.fate), FakeLink(self.fate)
        self.sent: list[str] = []
        self.outbox = self.start()

    def start(self) -> Outbox:
        self.fate.kill_after = None
        self.outbox = Outbox(
            state=self.state,
            link=self.link,
            clock=self.clock,
            spread=lambda seconds: seconds,
            on_sent=lambda message: self.sent.append(message.key),
        )
        return self.outbox

    def result(self, number: int, *, expendable: bool = False) -> None:
        message = Outgoing(f"result:{number}", RESULTS, (str(number).encode(),), expendable=expendable)
        self.outbox.put(message)
        self.outbox.flush()

    def report(self, number: int) -> None:
        self.outbox.put(Outgoing("report", REPORTS, (f"{number}/1".encode(), f"{number}/2".encode())))
        self.outbox.flush()

    def heard(self, topic: str) -> list[str]:
        return [payload.decode() for each, payload in self.link.published if each == topic]

    def reconnect(self) -> None:
        self.link.broker_up = self.link.nucleus_up = True
        self.outbox.retry_now()
        self.outbox.flush()


def test_of_reports_only_the_newest_waits_and_of_results_every_one() -> None:
    device = Device()
    device.link.broker_up = False
    for number in range(5):
        device.report(number)
        device.result(number)

    device.reconnect()

    assert device.heard(REPORTS) == ["4/1", "4/2"]
    assert device.heard(RESULTS) == ["0", "1", "2", "3", "4"]
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
        device.outbox.put(Outgoing(f"result:{number}", RESULTS, (str(number).encode(),)))
    for number in range(1_000, 3_000):
        device.outbox.put(Outgoing(f"result:{number}", RESULTS, (str(number).encode(),), expendable=True))
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
    world = World(reboot_budget=0)
    world.start()
    world.answers_time = False
    world.link.broker_up = False
    first = world.a_command()
    world.send(first)
    world.start()  # it has no server time: 64 commands are held, and more are refused
    commands = [world.a_command() for _ in range(66)]
    for command in commands:
        world.send(command)

    kept = json.loads(world.state.files[FILE])["messages"]
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

    assert device.heard(RESULTS) == ["1", "2"]
    assert device.heard(REPORTS) == ["1/1", "1/2"]


def test_a_link_that_comes_and_goes_within_a_message_makes_it_whole_again() -> None:
    device = Device()
    device.link.broker_up = False
    device.report(1)
    whole = device.link.publish

    def breaks_in_between(topic: str, payload: bytes) -> None:
        whole(topic, payload)
        device.link.broker_up = False

    device.link.publish = breaks_in_between  # type: ignore[method-assign]
    device.reconnect()
    device.link.publish = whole  # type: ignore[method-assign]
    device.reconnect()

    assert device.heard(REPORTS) == ["1/1", "1/1", "1/2"]
    assert device.sent == ["report"]


def test_what_comes_in_shows_that_the_way_out_is_open_so_a_reboot_is_announced_before_it_happens() -> None:
    """On Nucleus Lite nothing else tells that the broker is back; the back-off may have a minute to go."""
    world = World()
    world.start()
    world.link.broker_up = False
    world.turns(20 * 60)
    world.link.broker_up = True

    command = world.a_command()
    world.send(command)

    assert world.machine.reboots == 1
    assert [result.state for result in world.results(command)] == [CommandState.IN_PROGRESS]


def test_a_link_that_flaps_is_not_asked_more_often_than_the_patience_allows() -> None:
    device = Device()
    device.link.broker_up = False
    device.result(1)
    asked = 0

    def refuse(topic: str, payload: bytes) -> None:
        nonlocal asked
        asked += 1
        whole(topic, payload)

    whole, device.link.publish = device.link.publish, refuse  # type: ignore[method-assign]
    for _ in range(3_600):
        device.clock.advance(1.0)
        device.outbox.flush()

    assert asked <= 3_600 / RETRY_MAX_S + 8


_ACTIONS = st.one_of(
    st.tuples(st.just("result"), st.integers(0, 0)),
    st.tuples(st.just("report"), st.integers(0, 0)),
    st.tuples(st.just("broker"), st.booleans()),
    st.tuples(st.just("nucleus"), st.booleans()),
    st.tuples(st.just("disk"), st.booleans()),
    st.tuples(st.just("time"), st.sampled_from([1, 70])),
    st.tuples(st.just("kill"), st.integers(1, 3)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_ACTIONS, max_size=30))
def test_whatever_happens_what_was_on_disk_or_outlived_nothing_arrives_and_results_arrive_in_order(
    actions: list[tuple[str, int]],
) -> None:
    device = Device()
    said, safe = 0, set[str]()  # safe: no kill can take it any more

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
            case _:
                device.fate.effects.clear()
                device.fate.kill_after = number
        on_disk = device.state.files.get(FILE, b"")
        safe |= {f"result:{n}" for n in range(said + 1) if f'"result:{n}"'.encode() in on_disk}

    device.start()
    device.state.full = False
    device.reconnect()
    device.outbox.flush()

    heard = [int(each) for each in device.heard(RESULTS)]
    assert {f"result:{n}" for n in heard} >= safe
    firsts = list(dict.fromkeys(heard))
    assert firsts == sorted(firsts)
    assert len(device.outbox) == 0
    assert b"result:" not in device.state.files.get(FILE, b"")
