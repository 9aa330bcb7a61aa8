"""The decisions of a group reboot, in tables and over every course that devices, hints and time may take."""

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.domain.commands.command import Command
from cloud.domain.commands.command_ledger import NOT_SENT, Inferred
from cloud.domain.commands.group_reboot import GroupReboot, Member, MemberState, State, StoppedBy
from cloud.domain.commands.group_reboot_steps import (
    CHANGES_MAX,
    Candidate,
    DeviceFacts,
    Step,
    cancel,
    candidate,
    decide,
    list_members,
    order,
)
from contract.commands import CommandState
from contract.names import identifier
from tests.support.cloud.api import NOW, a_device

REBOOT = identifier("reboot", unix_ms=1, random80=1)
LATER = NOW + timedelta(seconds=30)


def a_reboot(**changes: Any) -> GroupReboot:
    """A running reboot of ``line-3`` with nothing listed in it yet."""
    values: dict[str, Any] = {
        "id": REBOOT, "group": "line-3", "max_concurrent": 1, "stop_after_failures": 1, "reason": "update",
        "requested_by": "ada", "requested_at": NOW, "expires_in_s": 900.0,
    }  # fmt: skip
    return GroupReboot(**(values | changes))


@dataclass
class GroupRebootStepsHarness:
    """The rows of a group reboot and the ledger beside it; keeps what a broken decision would break."""

    reboot: GroupReboot
    members: dict[str, Member] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)
    offline: set[str] = field(default_factory=set)
    now: datetime = NOW

    @classmethod
    def of(cls, *names: str, **wish: Any) -> "GroupRebootStepsHarness":
        harness = cls(a_reboot(**wish))
        harness.store(list_members(harness.reboot, sorted(names), more=False, now=NOW))
        return harness

    def store(self, step: Step | None) -> None:
        if step is None:
            return
        assert step.after.version == self.reboot.version + 1
        assert len(step.members) <= CHANGES_MAX
        started = [m for m in step.members if m.state is MemberState.STARTING]
        if started:
            assert self.reboot.state is State.RUNNING
            assert step.after.state is State.RUNNING
            assert len(step.after.active) <= step.after.max_concurrent
            assert all(self.members[m.device].state is MemberState.WAITING for m in started)
        self.reboot = step.after
        self.members |= {member.device: member for member in step.members}
        self.consistent()

    def consistent(self) -> None:
        """What the head says is what the rows say."""
        by_state = [member.state for member in self.members.values()]
        reboot = self.reboot
        assert reboot.total == len(by_state)
        assert reboot.waiting == by_state.count(MemberState.WAITING)
        assert reboot.succeeded == by_state.count(MemberState.SUCCEEDED)
        assert reboot.skipped == by_state.count(MemberState.SKIPPED)
        assert reboot.active == {
            name: m
            for name, m in self.members.items()
            if m.state in (MemberState.STARTING, MemberState.IN_FLIGHT)
        }
        failed = {n: m for n, m in self.members.items() if m.state is MemberState.FAILED}
        assert reboot.failures == failed
        assert len(reboot.active) + len(failed) < reboot.max_concurrent + reboot.stop_after_failures

    def send(self) -> list[str]:
        """Make the commands of what is starting; return what was sent."""
        starting = [m for m in self.reboot.active.values() if m.state is MemberState.STARTING]
        for member in starting:
            if member.device not in self.commands:
                message = order(self.reboot, member)
                self.commands[member.device] = Command.made_of(member.device, message, part_of=REBOOT)
        return [member.device for member in starting]

    def facts(self, sent: list[str] | None = None) -> DeviceFacts:
        waiting = sorted(n for n, m in self.members.items() if m.state is MemberState.WAITING)
        return DeviceFacts(
            commands={n: self.commands[n] for n in self.reboot.unsettled if n in self.commands},
            sent=sent or [],
            candidates=[Candidate(n, "device-offline" if n in self.offline else None) for n in waiting[:50]],
        )

    def wake_up(self) -> None:
        """Do what a wake-up does, until there is nothing to do."""
        for _ in range(1000):
            sent = self.send()
            step = decide(self.reboot, self.facts(sent), self.now)
            if step is None:
                return
            self.store(step)
        raise AssertionError("it never rests")

    def says(self, device: str, state: CommandState, **result: Any) -> None:
        """The device's own word, if it is a step forward in the ledger."""
        command = self.commands.get(device)
        if command is not None and not command.state.final:
            self.commands[device] = replace(
                command, state=state, changed_at=self.now, inferred=None, result=result
            )

    def states(self) -> dict[str, str]:
        return {name: member.state.value for name, member in sorted(self.members.items())}


def test_the_next_device_starts_only_when_the_one_before_is_proven_back() -> None:
    harness = GroupRebootStepsHarness.of("a", "b", "c")
    harness.wake_up()
    assert harness.states() == {"a": "IN_FLIGHT", "b": "WAITING", "c": "WAITING"}
    harness.says("a", CommandState.IN_PROGRESS)
    harness.wake_up()
    assert harness.states()["b"] == "WAITING"

    harness.says("a", CommandState.SUCCEEDED)
    harness.wake_up()

    assert harness.states() == {"a": "SUCCEEDED", "b": "IN_FLIGHT", "c": "WAITING"}
    assert harness.reboot.state is State.RUNNING


def test_it_succeeds_at_the_end_of_the_group() -> None:
    harness = GroupRebootStepsHarness.of("a", "b", max_concurrent=2)
    harness.wake_up()
    harness.says("a", CommandState.SUCCEEDED)
    harness.says("b", CommandState.SUCCEEDED)
    harness.wake_up()
    assert (harness.reboot.state, harness.reboot.ended_at) == (State.SUCCEEDED, NOW)


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (CommandState.FAILED, "reboot-not-performed"),
        (CommandState.REJECTED, "reboot-budget"),
        (CommandState.EXPIRED, "too-late"),
        (CommandState.SUPERSEDED, "newer-reboot"),
    ],
)
def test_any_other_end_is_a_failure_and_the_first_one_stops(state: CommandState, code: str) -> None:
    harness = GroupRebootStepsHarness.of("a", "b")
    harness.wake_up()
    harness.says("a", state, code=code)
    harness.wake_up()

    assert harness.states() == {"a": "FAILED", "b": "WAITING"}
    failed = harness.reboot.failures["a"]
    assert (failed.code, failed.inferred, failed.command) == (code, False, harness.commands["a"].id)
    assert (harness.reboot.state, harness.reboot.stopped_by) == (State.FAILED, StoppedBy.FAILURES)


def test_silence_is_a_failure_until_the_device_speaks_and_then_its_word_counts() -> None:
    harness = GroupRebootStepsHarness.of("a", "b", "c", stop_after_failures=2)
    harness.wake_up()
    harness.now += timedelta(seconds=900 + 300)
    harness.wake_up()
    assert harness.reboot.failures["a"].code == "no-answer"
    assert harness.reboot.failures["a"].inferred
    assert harness.states()["b"] == "IN_FLIGHT"

    harness.says("a", CommandState.SUCCEEDED)
    harness.wake_up()

    assert (harness.reboot.succeeded, harness.reboot.failures) == (1, {})


@pytest.mark.parametrize("late", [False, True])
def test_a_reboot_that_the_next_boot_proves_counts_as_one_that_the_device_proved(late: bool) -> None:
    harness = GroupRebootStepsHarness.of("a", "b", stop_after_failures=2)
    harness.wake_up()
    proof = Inferred(CommandState.SUCCEEDED, "boot-id-changed", LATER)
    if late:
        silence = Inferred(CommandState.FAILED, "no-proof", NOW)
        in_progress = replace(harness.commands["a"], state=CommandState.IN_PROGRESS, inferred=silence)
        harness.commands["a"] = in_progress
        harness.wake_up()
        assert list(harness.reboot.failures) == ["a"]
    harness.commands["a"] = replace(
        harness.commands["a"], state=CommandState.IN_PROGRESS, inferred=proof, changed_at=NOW
    )

    harness.wake_up()

    assert (harness.reboot.succeeded, dict(harness.reboot.failures)) == (1, {})
    assert list(harness.reboot.active) == ["b"]


def test_a_device_that_was_given_up_and_reboots_after_all_is_in_flight_again_and_takes_its_place() -> None:
    harness = GroupRebootStepsHarness.of("a", "b", "c", stop_after_failures=2)
    harness.wake_up()
    harness.now += timedelta(seconds=1200)
    harness.wake_up()
    harness.says("a", CommandState.IN_PROGRESS)
    harness.says("b", CommandState.SUCCEEDED)
    harness.wake_up()
    assert harness.states() == {"a": "IN_FLIGHT", "b": "SUCCEEDED", "c": "WAITING"}


def test_a_stop_stays_a_stop_when_the_failure_is_taken_back() -> None:
    harness = GroupRebootStepsHarness.of("a", "b", "c", max_concurrent=2)
    harness.wake_up()
    harness.now += timedelta(seconds=1200)
    harness.says("b", CommandState.IN_PROGRESS)
    harness.wake_up()
    assert (harness.reboot.state, harness.states()["b"]) == (State.STOPPING, "IN_FLIGHT")

    harness.says("a", CommandState.SUCCEEDED)
    harness.says("b", CommandState.SUCCEEDED)
    harness.wake_up()

    assert harness.states() == {"a": "SUCCEEDED", "b": "SUCCEEDED", "c": "WAITING"}
    assert harness.reboot.state is State.FAILED


def test_those_in_flight_are_awaited_after_the_threshold() -> None:
    harness = GroupRebootStepsHarness.of("a", "b", "c", max_concurrent=2)
    harness.wake_up()
    harness.says("a", CommandState.REJECTED, code="reboot-budget")
    harness.wake_up()
    assert harness.states() == {"a": "FAILED", "b": "IN_FLIGHT", "c": "WAITING"}
    assert harness.reboot.ended_at is None
    harness.says("b", CommandState.SUCCEEDED)
    harness.wake_up()
    assert harness.states() == {"a": "FAILED", "b": "SUCCEEDED", "c": "WAITING"}


def test_a_device_that_is_not_there_is_skipped_and_named_and_no_failure() -> None:
    harness = GroupRebootStepsHarness.of("a", "b", "c")
    harness.offline = {"a", "c"}
    harness.wake_up()
    assert harness.states() == {"a": "SKIPPED", "b": "IN_FLIGHT", "c": "WAITING"}
    harness.says("b", CommandState.SUCCEEDED)
    harness.wake_up()
    assert harness.states() == {"a": "SKIPPED", "b": "SUCCEEDED", "c": "SKIPPED"}
    assert harness.members["a"].code == "device-offline"
    assert harness.reboot.state is State.SUCCEEDED


def test_a_cancelled_one_starts_nothing_awaits_what_is_in_flight_and_ends_cancelled() -> None:
    harness = GroupRebootStepsHarness.of("a", "b")
    harness.wake_up()
    harness.store(cancel(harness.reboot, "grace"))
    harness.wake_up()
    assert harness.reboot.state is State.STOPPING
    harness.says("a", CommandState.SUCCEEDED)
    harness.wake_up()
    assert harness.states() == {"a": "SUCCEEDED", "b": "WAITING"}
    assert (harness.reboot.state, harness.reboot.cancelled_by) == (State.CANCELLED, "grace")
    assert cancel(harness.reboot, "grace") is None


def test_what_was_cancelled_while_its_members_were_listed_knows_them_all_the_same() -> None:
    harness = GroupRebootStepsHarness(a_reboot())
    harness.store(list_members(harness.reboot, ["a"], more=True, now=NOW))
    harness.store(cancel(harness.reboot, "grace"))
    assert decide(harness.reboot, harness.facts(), NOW) is None
    harness.store(list_members(harness.reboot, ["b"], more=False, now=NOW))
    harness.wake_up()
    assert (harness.reboot.state, harness.states()) == (State.CANCELLED, {"a": "WAITING", "b": "WAITING"})


def test_a_group_that_everybody_left_before_they_were_listed_fails() -> None:
    harness = GroupRebootStepsHarness.of()
    assert (harness.reboot.state, harness.reboot.stopped_by) == (State.FAILED, StoppedBy.EMPTY_GROUP)


def test_what_the_broker_does_not_take_is_tried_again_until_its_time_is_over() -> None:
    harness = GroupRebootStepsHarness.of("a")
    harness.store(decide(harness.reboot, harness.facts(), NOW))
    harness.send()
    not_sent = Inferred(CommandState.FAILED, NOT_SENT, NOW)
    harness.commands["a"] = replace(harness.commands["a"], inferred=not_sent)
    assert decide(harness.reboot, harness.facts(), LATER) is None
    harness.store(decide(harness.reboot, harness.facts(), NOW + timedelta(seconds=900)))
    assert harness.reboot.failures["a"].code == "not-sent"


def test_a_command_of_which_nobody_knows_whether_it_was_sent_is_not_in_flight() -> None:
    harness = GroupRebootStepsHarness.of("a")
    harness.store(decide(harness.reboot, harness.facts(), NOW))
    harness.send()
    assert decide(harness.reboot, harness.facts(sent=[]), NOW) is None
    harness.says("a", CommandState.DELIVERED)
    harness.store(decide(harness.reboot, harness.facts(sent=[]), NOW))
    assert harness.states() == {"a": "IN_FLIGHT"}


def test_the_command_of_a_member_is_the_same_whenever_it_is_asked_for() -> None:
    harness = GroupRebootStepsHarness.of("a")
    harness.store(decide(harness.reboot, harness.facts(), NOW))
    member = harness.reboot.active["a"]
    first, again = order(harness.reboot, member), order(replace(harness.reboot, version=9), member)
    assert first == again
    assert first.expires_at == NOW + timedelta(seconds=900)


@pytest.mark.parametrize(
    ("device", "skip"),
    [
        (a_device(), None),
        (a_device(stale_at=NOW - timedelta(hours=1)), None),
        (a_device(connected=False, offline_since=NOW - timedelta(hours=1)), "device-offline"),
        (a_device(connected=None, last_report_at=None), "device-unknown"),
        (a_device(group="line-4"), "left-group"),
        (None, "not-enrolled"),
    ],
)
def test_only_a_device_that_is_there_and_in_the_group_has_its_turn(device: Any, skip: str | None) -> None:
    assert candidate("robot-7", device, "line-3", NOW, offline_debounce_s=30) == Candidate("robot-7", skip)


NAMES = [f"robot-{number:03}" for number in range(130)]
WORDS = [CommandState.DELIVERED, CommandState.IN_PROGRESS, *(s for s in CommandState if s.final)]


@given(
    size=st.integers(1, 12),
    max_concurrent=st.integers(1, 4),
    threshold=st.integers(1, 4),
    offline=st.sets(st.integers(0, 11)),
    seed=st.integers(0, 1 << 32),
    course=st.lists(
        st.one_of(
            st.just("wake_up"),
            st.just("cancel"),
            st.tuples(st.integers(0, 11), st.sampled_from(WORDS)),
            st.sampled_from([10, 400, 1300]),
        ),
        max_size=40,
    ),
)
def test_whatever_happens_in_whatever_order_every_device_ends_once_and_no_wave_is_too_large(
    size: int, max_concurrent: int, threshold: int, offline: set[int], seed: int, course: list[Any]
) -> None:
    harness = GroupRebootStepsHarness.of(
        *NAMES[:size], max_concurrent=max_concurrent, stop_after_failures=threshold
    )
    harness.offline = {NAMES[number] for number in offline}
    stopped: set[str] | None = None
    for event in course:
        match event:
            case "wake_up":
                harness.wake_up()
            case "cancel":
                harness.store(cancel(harness.reboot, "grace"))
            case (int() as number, word):
                harness.says(NAMES[number], word)
            case seconds:
                harness.now += timedelta(seconds=seconds)
        if harness.reboot.state is not State.RUNNING:
            had_their_turn = {n for n, m in harness.members.items() if m.state is not MemberState.WAITING}
            stopped = had_their_turn if stopped is None else stopped
            assert had_their_turn == stopped

    devices = random.Random(seed)
    for _ in range(10 * size):  # in the end every device that was commanded says something
        for name in list(harness.reboot.active):
            harness.says(name, devices.choice([CommandState.SUCCEEDED, CommandState.FAILED]))
        harness.wake_up()
    assert harness.reboot.state.final
    ended = harness.reboot
    harness.now += timedelta(days=1)
    harness.wake_up()
    assert harness.reboot == ended
    finals = {MemberState.SUCCEEDED, MemberState.FAILED, MemberState.SKIPPED}
    if harness.reboot.state is State.SUCCEEDED:
        assert {member.state for member in harness.members.values()} <= finals
        assert len(harness.reboot.failures) < threshold
    else:
        assert {member.state for member in harness.members.values()} <= finals | {MemberState.WAITING}
    commanded = {n for n, m in harness.members.items() if m.command is not None}
    assert commanded == harness.commands.keys()


@given(st.permutations(range(5)), st.integers(1, 3), st.booleans())
def test_the_order_of_results_and_of_repeated_wake_ups_changes_no_end(
    arrival: list[int], max_concurrent: int, impatient: bool
) -> None:
    names = NAMES[:5]
    fates = [CommandState.SUCCEEDED, CommandState.FAILED, *[CommandState.SUCCEEDED] * 3]
    harness = GroupRebootStepsHarness.of(*names, max_concurrent=max_concurrent, stop_after_failures=2)
    harness.wake_up()
    while not harness.reboot.state.final:
        for number in arrival:
            if names[number] in harness.commands:
                harness.says(names[number], fates[number])
            if impatient:
                harness.wake_up()
                harness.wake_up()
        harness.wake_up()
    assert harness.reboot.state is State.SUCCEEDED
    assert [harness.states()[name] for name in names] == [fate.value for fate in fates]


def test_a_large_wave_is_taken_in_steps_that_one_transaction_holds() -> None:
    harness = GroupRebootStepsHarness(a_reboot(max_concurrent=100, stop_after_failures=100))
    harness.store(list_members(harness.reboot, NAMES[:98], more=True, now=NOW))
    harness.store(list_members(harness.reboot, NAMES[98:], more=False, now=NOW))
    harness.wake_up()
    assert len(harness.reboot.active) == 100
    for name in list(harness.reboot.active):
        harness.says(name, CommandState.SUCCEEDED)
    harness.wake_up()
    assert (harness.reboot.succeeded, len(harness.reboot.active)) == (100, 30)
