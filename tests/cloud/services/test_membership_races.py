"""Moves of a device in every order of their steps: it is in one group at most, in the end its row's."""

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cloud.functions.groups.add_device_to_group import add_device_to_group
from cloud.functions.groups.remove_device_from_group import remove_device_from_group
from cloud.services.group_membership import SETTLES_WITHIN, GroupMembership
from cloud.tables.devices import Devices
from cloud.tables.memberships import Membership, Memberships
from tests.support.cloud.answers import served
from tests.support.cloud.api import NOW, Clock, an_event, body_of
from tests.support.cloud.fakes import FakeGroups
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB, table_of
from tests.support.cloud.moving import ports_of
from tests.support.cloud.turns import Turns, in_every_order

pytestmark = pytest.mark.slow

ADD, REMOVE = "PUT /groups/{group}/devices/{device}", "DELETE /groups/{group}/devices/{device}"
A, B, C = "line-a", "line-b", "line-c"
_names = itertools.count()


class MembershipHarness:
    """One device in group A, and everybody who may move it, stepping by ``turns``."""

    def __init__(self, dynamodb: Any, turns: Turns | None = None) -> None:
        self.device, self.clock, self.registry = f"robot-{next(_names)}", Clock(), FakeGroups()
        self.devices = Devices(dynamodb, DEVICES)
        self.devices.create(self.device, A, now=self.clock.now)
        self.registry.add(self.device, A)
        self.memberships = Memberships(dynamodb, DEVICES)
        turns = turns or Turns(lambda options: options[0])
        self.mover = GroupMembership(
            turns.between(self.memberships), turns.between(self.registry), self.clock
        )

    def put(self, group: str) -> dict[str, Any]:
        ports = ports_of(self.registry, self.mover, self.devices)
        entry = served(lambda r: add_device_to_group(r, ports), route=ADD)
        event = an_event(ADD, path={"group": group, "device": self.device})
        return entry(event | {"queryStringParameters": {"move": "true"}}, None)

    def delete(self, group: str) -> dict[str, Any]:
        entry = served(lambda r: remove_device_from_group(r, mover=self.mover), route=REMOVE)
        return entry(an_event(REMOVE, path={"group": group, "device": self.device}), None)

    def sweep(self) -> None:
        self.mover.settle_all()

    def lapse(self) -> None:
        """As much time passes as a function may live."""
        self.clock.advance(SETTLES_WITHIN.total_seconds())

    def check(self) -> None:
        """The sweep of a minute later leaves row and registry in agreement, and it was never otherwise."""
        self.lapse()
        self.sweep()
        found = self.memberships.get(self.device)
        assert found is not None
        assert found.settling_until is None
        assert self.registry.groups_of(self.device) == ({found.group} if found.group else set())
        assert self.registry.most == 1


DEVICES = table_of("DevicesTable")["TableName"]


@pytest.fixture(scope="module")
def dynamodb() -> Any:
    memory = MemoryDynamoDB()
    memory.create_table(**table_of("DevicesTable"))
    return memory


def test_two_moves_in_every_order_of_their_steps(dynamodb: Any) -> None:
    def race(turns: Turns) -> None:
        harness = MembershipHarness(dynamodb, turns)
        answers = turns.run([lambda: harness.put(B), lambda: harness.put(C)])

        said = {group: answer for group, answer in zip((B, C), answers, strict=True) if answer}
        won = {g: body_of(a)["before"] for g, a in said.items() if a["statusCode"] == 200}
        lost = [a for a in said.values() if a["statusCode"] != 200]
        assert won in ({B: A}, {C: A}, {B: A, C: B}, {C: A, B: C})
        assert all((a["statusCode"], body_of(a)["code"]) == (409, "membership-conflict") for a in lost)
        harness.check()

    assert in_every_order(race) > 50


def movers(harness: MembershipHarness) -> list[Callable[[], Any]]:
    return [lambda: harness.put(B), lambda: harness.put(C), lambda: harness.delete(B), harness.sweep]


@pytest.mark.parametrize("others", list(itertools.combinations(range(1, 4), 2)))
@pytest.mark.parametrize("preemptions", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_three_at_once_of_whom_any_dies_anywhere(
    dynamodb: Any, preemptions: int, others: tuple[int, int]
) -> None:
    """A move and two others; once, as much time passes as a function lives, which ends all under way."""

    def race(turns: Turns) -> None:
        harness = MembershipHarness(dynamodb, turns)
        all_of_them = movers(harness)
        turns.run([all_of_them[0], *(all_of_them[n] for n in others)], harness.lapse)
        harness.check()

    assert in_every_order(race, preemptions=preemptions) > 100


def test_a_group_that_is_no_more_holds_no_device_back(dynamodb: Any) -> None:
    harness = MembershipHarness(dynamodb)
    before = harness.mover.settled(harness.device)
    harness.registry.gone.add(B)

    harness.mover.move(before, B)

    assert harness.put(C)["statusCode"] == 200
    assert body_of(harness.put(B))["code"] == "group-not-found"
    harness.check()


def test_what_was_taken_up_last_is_looked_at_last(dynamodb: Any) -> None:
    first, second = MembershipHarness(dynamodb).device, MembershipHarness(dynamodb).device
    memberships, then = Memberships(dynamodb, DEVICES), NOW + timedelta(seconds=1)
    left = memberships.move(Membership(first, A), B, NOW)
    assert memberships.move(Membership(second, A), B, then)
    assert left is not None
    assert memberships.unsettled(NOW, 10) == [first]
    assert memberships.unsettled(then, 1) == [first]

    taken = memberships.take_up(left, then + timedelta(seconds=1))

    assert memberships.take_up(left, then + timedelta(seconds=2)) is None
    assert memberships.unsettled(then + timedelta(seconds=1), 10) == [second, first]
    assert not memberships.settle(left)
    assert taken is not None
    assert memberships.settle(taken)
    assert memberships.unsettled(then + timedelta(seconds=1), 10) == [second]
    assert memberships.get(first) == Membership(first, B)


def test_who_saw_a_device_where_it_is_coming_back_to_does_not_move_it(dynamodb: Any) -> None:
    device, memberships = MembershipHarness(dynamodb).device, Memberships(dynamodb, DEVICES)
    seen = Membership(device, A)
    away = memberships.move(seen, B, NOW)
    assert away is not None
    assert memberships.settle(away)
    back = memberships.move(Membership(device, B), A, NOW)
    assert back is not None

    assert memberships.move(seen, C, NOW) is None

    assert memberships.settle(back)
    assert memberships.get(device) == seen
