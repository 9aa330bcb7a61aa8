"""Whatever is delayed, doubled, lost or reordered, and whoever dies meanwhile: what is said is true.

The device's agent and the cloud's functions are the real ones; between them is a network that a
hypothesis state machine plays with, and a machine that it kills, reboots and gives wrong clocks.
"""

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cloud.domain.commands.command import Command
from contract.commands import CommandState
from contract.reports import ApplicationState, ApplicationStatus
from tests.support.cloud.devices import dynamodb_in_memory
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB, Twin
from tests.system import truths
from tests.system.system import HEARTBEAT_S, System

YEAR_S = 365 * 24 * 3600.0
#: Longer than any command made here lives, and than the cloud waits for a word after that.
REST_S = 3_600.0
RUNNING, UNHEALTHY = ApplicationState.RUNNING, ApplicationState.UNHEALTHY
LOOKS = {
    "nothing": (),
    "two": tuple(ApplicationStatus(name=n, state=RUNNING) for n in ("app-0", "app-1")),
    "two, one unhealthy": tuple(
        ApplicationStatus(name=n, state=s) for n, s in (("app-1", RUNNING), ("app-2", UNHEALTHY))
    ),
    "a report in parts": tuple(
        ApplicationStatus(name=f"app-{n}", state=UNHEALTHY, message="x" * 500) for n in range(25)
    ),
}


class Believable(RuleBasedStateMachine):
    """Plays with one ``System``."""

    dynamodb: Any = None  # a client to use; a new one in memory where there is none

    @initialize(
        keeps_session=st.booleans(),
        clock_off_s=st.sampled_from([0.0, -YEAR_S, YEAR_S, -600.0, 600.0]),
        tells_time=st.booleans(),
    )
    def begin(self, keeps_session: bool, clock_off_s: float, tells_time: bool) -> None:
        dynamodb = self.dynamodb or MemoryDynamoDB()
        self.system = System(dynamodb, *LOOKS["two"], keeps_session=keeps_session, tells_time=tells_time)
        self.system.jump_clock(timedelta(seconds=clock_off_s))
        self.ledger: Mapping[str, Command] = {}
        self.keys = 0

    # The operators

    @rule(
        expires_in_s=st.sampled_from([1, 45, 300, 1_800]),
        force=st.booleans(),
        when_online=st.booleans(),
        override_budget=st.booleans(),
        delay_s=st.sampled_from([0, 0, 0, 20, 200, 1_500]),
    )
    def an_operator_wants_a_reboot(self, **fields: Any) -> None:
        self.system.cloud.reboot(self.new_key(), **fields)

    @rule(expires_in_s=st.sampled_from([45, 300]))
    def the_broker_does_not_take_a_reboot_at_first(self, expires_in_s: int) -> None:
        key = self.new_key()
        self.system.cloud.broken = True
        self.system.cloud.reboot(key, expires_in_s=expires_in_s)
        self.system.cloud.broken = False
        self.system.cloud.reboot(key, expires_in_s=expires_in_s)

    @rule(app=st.sampled_from(["app-0", "app-1"]))
    def an_operator_wants_a_restart(self, app: str) -> None:
        self.system.cloud.restart(self.new_key(), app)

    def new_key(self) -> str:
        self.system.advance(0.01)  # ids made in the same millisecond are in no order
        self.keys += 1
        return f"key-{self.keys}"

    # The network

    @rule(prompt=st.booleans())
    def the_network_is_prompt_or_not(self, prompt: bool) -> None:
        self.system.prompt = prompt
        if prompt:
            self.system.deliver_all()

    @precondition(lambda self: self.system.air)
    @rule(index=st.integers(0, 50))
    def a_message_is_delivered(self, index: int) -> None:
        self.system.fly(index)

    @precondition(lambda self: self.system.air)
    @rule(index=st.integers(0, 50))
    def a_message_is_delivered_again(self, index: int) -> None:
        self.system.air.append(self.system.air[index % len(self.system.air)])

    @precondition(lambda self: self.system.air)
    @rule(index=st.integers(0, 50))
    def a_message_is_lost(self, index: int) -> None:
        self.system.lose(index)

    @precondition(lambda self: self.system.arrived)
    @rule(index=st.integers(0, 50))
    def a_function_takes_what_arrived(self, index: int) -> None:
        self.system.take(index)

    @precondition(lambda self: self.system.arrived)
    @rule(index=st.integers(0, 50))
    def what_the_broker_tells_of_connections_is_lost(self, index: int) -> None:
        self.system.lose_arrived(index)

    @precondition(lambda self: self.system.arrived)
    @rule(index=st.integers(0, 50))
    def what_arrived_comes_again(self, index: int) -> None:
        self.system.arrived.append(self.system.arrived[index % len(self.system.arrived)])

    @precondition(lambda self: self.system.delivered)
    @rule(index=st.integers(0, 500))
    def the_broker_delivers_an_old_command_again(self, index: int) -> None:
        self.system.deliver_again(index)

    @rule(random=st.randoms(use_true_random=False), seconds=st.sampled_from([0.0, 300.0]))
    def what_lies_about_is_taken_in_any_order(self, random: Random, seconds: float) -> None:
        self.system.prompt = False
        self.system.advance(seconds)
        while self.system.air:
            self.system.fly(random.randrange(100))
        while self.system.arrived:
            self.system.take(random.randrange(100))

    @rule(skipped=st.integers(0, 3), clock_off_s=st.sampled_from([0.0, -120.0, 120.0]))
    def the_nucleus_connects(self, skipped: int, clock_off_s: float) -> None:
        self.system.connect(skipped=skipped, clock_off_s=clock_off_s)

    @rule(clock_off_s=st.sampled_from([0.0, -120.0, 120.0]))
    def the_connection_breaks(self, clock_off_s: float) -> None:
        self.system.disconnect("MQTT_KEEP_ALIVE_TIMEOUT", clock_off_s=clock_off_s)

    @rule()
    def the_nucleus_connects_anew_unnoticed(self) -> None:
        self.system.take_over()

    # The device

    @rule(effects=st.integers(1, 8))
    def the_agent_will_be_killed(self, effects: int) -> None:
        self.system.will_be_killed(effects)

    @rule(effects=st.integers(1, 8))
    def the_agent_dies_over_a_reboot_and_starts_again(self, effects: int) -> None:
        self.system.will_be_killed(effects)
        self.system.cloud.reboot(self.new_key(), override_budget=True)
        self.system.start_agent()

    @rule()
    def the_agent_is_killed(self) -> None:
        self.system.kill_agent()

    @rule()
    def the_agent_is_stopped(self) -> None:
        self.system.stop_agent()

    @rule()
    def the_nucleus_starts_the_agent(self) -> None:
        self.system.start_agent()

    @rule()
    def the_link_to_the_nucleus_is_lost(self) -> None:
        self.system.lose_link()

    @rule(in_order=st.booleans(), off_s=st.sampled_from([8.0, 600.0, 5_000.0]), told_the_time=st.booleans())
    def the_machine_reboots(self, in_order: bool, off_s: float, told_the_time: bool) -> None:
        self.system.power_off(in_order=in_order)
        self.system.advance(off_s)
        self.system.tells_time = told_the_time
        self.system.power_on()

    @rule(obeys=st.booleans())
    def the_machine_does_as_it_is_told_or_not(self, obeys: bool) -> None:
        self.system.obeys = obeys

    @rule(by_s=st.sampled_from([-YEAR_S, -7_200.0, 7_200.0, YEAR_S]))
    def the_devices_clock_jumps(self, by_s: float) -> None:
        self.system.jump_clock(timedelta(seconds=by_s))

    @rule(look=st.sampled_from(sorted(LOOKS)))
    def the_containers_change(self, look: str) -> None:
        self.system.look(*LOOKS[look])

    @rule(critical=st.booleans())
    def a_container_is_being_replaced_or_locked(self, critical: bool) -> None:
        self.system.look(critical=critical, locked=not critical)

    @rule(at_once=st.booleans())
    def applications_stop_at_once_or_not(self, at_once: bool) -> None:
        self.system.containers.stop_at_once = at_once

    @rule()
    def restarts_end(self) -> None:
        self.system.end_restarts()

    @rule()
    def the_ledger_is_lost(self) -> None:
        self.system.lose_ledger()

    # Time

    @rule(seconds=st.sampled_from([1.0, 31.0, 70.0, 130.0, 400.0, 2_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.system.advance(seconds)

    @rule()
    def the_cloud_sweeps(self) -> None:
        self.system.cloud.sweep()

    # What must hold

    @invariant()
    def the_truth_is_told(self) -> None:
        now = self.system.cloud.ledger()
        told = [
            *truths.of_the_ledger(self.ledger, now),
            *truths.of_what_was_carried_out(self.system),
            *truths.of_the_row(self.system),
        ]
        self.ledger = now
        assert not told, "\n".join(told)

    def rest(self) -> None:
        system = self.system
        system.spare()
        system.tells_time = True
        system.look(*LOOKS["two"])
        system.power_on()
        system.start_agent()
        system.connect()
        system.deliver_all()
        waiting = [c.id for c in system.cloud.ledger().values() if _waits(c, system.now)]
        for _ in range(3):  # whatever was held is judged by then
            system.advance(61.0)
            system.cloud.sweep()
        assert system.reached.issuperset(waiting)
        system.end_restarts()
        system.advance(REST_S)
        system.cloud.sweep()
        told = list(truths.at_rest(system))
        assert not told, "\n".join(told)
        assert system.cloud.seen().state == "online"

    def teardown(self) -> None:
        if not hasattr(self, "system"):
            return
        self.rest()
        self.the_truth_is_told()
        self.system.kill_agent()
        self.system.advance(3 * 1.2 * HEARTBEAT_S)
        assert self.system.cloud.seen().state == "stale"
        self.system.power_off(in_order=False)
        self.system.advance(31.0)
        assert self.system.cloud.seen().state == "offline"


def _waits(command: Command, now: datetime) -> bool:
    """Return whether a command must still find its device, now that it is there."""
    lasts = command.expires_at > now + timedelta(seconds=200)
    return command.when_online and command.state is CommandState.PENDING and not command.inferred and lasts


SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Deaths and losses are what this is about; nobody reads a hundred thousand lines of them."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_what_is_said_is_true() -> None:
    run_state_machine_as_test(
        Believable, settings=settings(SETTINGS, max_examples=40, stateful_step_count=40)
    )


@pytest.mark.slow
def test_what_is_said_is_true_for_long() -> None:
    run_state_machine_as_test(
        Believable, settings=settings(SETTINGS, max_examples=200, stateful_step_count=80)
    )


@pytest.mark.slow
def test_what_is_said_is_true_with_every_call_made_on_moto_as_well() -> None:
    with dynamodb_in_memory() as moto:

        class OnBoth(Believable):
            @initialize()
            def begin_on_both(self) -> None:
                pass

            @property
            def dynamodb(self) -> Twin:
                return Twin(moto, MemoryDynamoDB())

        run_state_machine_as_test(OnBoth, settings=settings(SETTINGS, max_examples=3, stateful_step_count=20))
