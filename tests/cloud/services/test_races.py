"""Fifty writers on DynamoDB in memory: all have read before anyone writes, then in an order that is drawn.

tests/platform/test_races.py has the same races in threads, on the emulator's DynamoDB and registry.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cloud.tables.commands import Commands
from contract.commands import parse_command
from tests.support.cloud.api import COMMANDS, NOW, body_of
from tests.support.cloud.commanding import Api
from tests.support.cloud.fakes import FakeGroups
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB
from tests.support.cloud.racing import RACES, Answers, Stage, make_tables
from tests.support.cloud.turns import Turns, in_every_order

pytestmark = pytest.mark.slow


class InStep:
    """Nobody makes a call before everybody has made the one before; who is next in that is drawn."""

    def __init__(self, seed: int) -> None:
        self._random, self._made = random.Random(seed), Counter[int]()

    def __call__(self, options: Sequence[int]) -> int:
        least = min(self._made[n] for n in options)
        chosen = self._random.choice([n for n in options if self._made[n] == least])
        self._made[chosen] += 1
        return chosen


def in_turns(seed: int) -> Stage:
    turns, memory, registry = Turns(InStep(seed)), MemoryDynamoDB(), FakeGroups(())
    make_tables(memory)

    def at_once(calls: Sequence[Callable[[], dict[str, Any]]]) -> Answers:
        return [answer for answer in turns.run(calls) if answer is not None]

    return Stage(turns.between(memory), turns.between(registry), lambda thing: None, at_once)


@pytest.mark.parametrize("race", RACES)
def test_fifty_at_once(race: Callable[[Stage], None]) -> None:
    race(in_turns(seed=0))


def test_of_two_reboots_in_every_order_of_their_steps_the_newer_is_left_to_be_done() -> None:
    def race(turns: Turns) -> None:
        memory: Any = MemoryDynamoDB()
        make_tables(memory)
        commands = Commands(memory, COMMANDS)
        api = Api(memory, Commands(turns.between(memory), COMMANDS))

        answers = turns.run([api.reboot, api.reboot])

        newer = max(body_of(answer)["id"] for answer in answers if answer)
        stored, _ = commands.page("robot-7", before=None, limit=10)
        assert [each.id for each in stored if each.conclusion(NOW) is None] == [newer]
        assert newer in {parse_command(payload).id for _, payload in api.broker.published}

    assert in_every_order(race) > 10
