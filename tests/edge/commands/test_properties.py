"""Whatever order things happen in: no command reboots the machine twice, and every one is answered."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.commands import CommandState
from edge.defaults import REBOOT_BUDGET
from tests.support.edge.fakes import AgentHarness, FakeMachine, Fate, a_pass, until_killed

pytestmark = pytest.mark.slow

_ACTIONS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 3)),
    st.tuples(st.just("pass time"), st.sampled_from([1, 30, 70, 130, 2_000])),
    st.tuples(st.just("kill"), st.integers(1, 5)),
    st.tuples(st.just("power cycle"), st.just(0)),
    st.tuples(st.just("broker"), st.booleans()),
    st.tuples(st.just("lock"), st.booleans()),
    st.tuples(st.just("applications stop at once"), st.booleans()),
    st.tuples(st.just("time answers"), st.booleans()),
    st.tuples(st.just("device clock jumps"), st.sampled_from([-7_200, 7_200])),
)


_RANKS = {
    state: 2 if state.final else 1 if state is CommandState.IN_PROGRESS else 0 for state in CommandState
}


class WatchedMachine(FakeMachine):
    """Knows for which command it was rebooted, by what the disk said at that moment."""

    def __init__(self, fate: Fate, harness: AgentHarness) -> None:
        super().__init__(fate)
        self.harness = harness
        self.rebooted_for: Counter[str] = Counter()

    def reboot(self) -> None:
        entries = json.loads(self.harness.state.files["commands.json"])["entries"]
        self.rebooted_for.update(k for k, e in entries.items() if e["result"]["state"] == "IN_PROGRESS")
        super().reboot()


@settings(max_examples=120, deadline=None)
@given(st.lists(_ACTIONS, max_size=14))
def test_no_command_reboots_twice_and_every_one_is_answered(actions: list[tuple[str, int]]) -> None:
    harness = AgentHarness()
    machine = WatchedMachine(harness.fate, harness)
    harness.machine = machine
    harness.containers.found = replace(a_pass(), next_look_s=60.0)  # containers are not what this is about
    harness.start()
    commands = [
        harness.a_command(valid_s=600 + 600 * n, delay_s=300 if n % 2 else None, override_budget=n == 3)
        for n in range(4)
    ]
    delivered = set()
    for action, number in actions:
        match action:
            case "send":
                delivered.add(commands[number].id)
                killed = until_killed(lambda: harness.send(commands[number]))  # noqa: B023
            case "pass time":
                killed = until_killed(lambda: harness.turns(number))  # noqa: B023
            case "kill":
                harness.fate.effects.clear()
                harness.fate.kill_after = number
                killed = False
            case "power cycle":
                killed = until_killed(harness.power_cycle)
            case "broker":
                harness.link.broker_up, killed = bool(number), False
            case "lock":
                harness.containers.found = replace(a_pass(locked=bool(number)), next_look_s=60.0)
                killed = False
            case "applications stop at once":
                harness.containers.stop_at_once, killed = bool(number), False
            case "time answers":
                harness.answers_time, killed = bool(number), False
            case _:
                jump = timedelta(seconds=number)
                harness.clock.date += jump
                harness.server_ahead -= jump
                killed = False
        if killed:
            harness.fate.kill_after = None
            harness.start()

    harness.fate.kill_after = None
    harness.link.broker_up = harness.answers_time = True  # its own clock may be hours late
    harness.containers.found = replace(a_pass(), next_look_s=60.0)
    harness.start()
    harness.turns(2_500.0)  # longer than any of them may wait

    assert all(count == 1 for count in machine.rebooted_for.values())
    assert len(machine.rebooted_for) <= REBOOT_BUDGET * 3  # at most three windows pass in one example
    final = {r.id: r.state for r in harness.results()}
    assert all(final[command].final for command in delivered)
    for command in delivered:
        states = [r.state for r in harness.results() if r.id == command]
        assert states == sorted(states, key=_RANKS.get)  # type: ignore[arg-type]
    newest = max(
        (command for command in commands if command.id in delivered), key=lambda c: c.id, default=None
    )
    if newest is not None:
        assert final[newest.id] is not CommandState.SUPERSEDED
