"""Many at once: what the ledger's conditions promise holds whoever comes first.

DynamoDB does one call at a time to an item, and moto does not know of threads; a lock around each call
makes it so, and between the calls anything may happen.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import pytest

from cloud.tables.commands import Commands
from contract.commands import CommandState, parse_command
from tests.support.cloud.api import COMMANDS, OneCallAtATime, body_of
from tests.support.cloud.commanding import ORDERS, Api

State = CommandState
Answer = TypeVar("Answer")
THREADS = 16


@pytest.fixture
def api(api: Api) -> Api:
    """On a table for threads."""
    api.commands = Commands(OneCallAtATime(api.table), COMMANDS)
    return api


def at_once(calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Begin all calls together."""
    ready = threading.Barrier(len(calls))

    def begin(call: Callable[[], Answer]) -> Answer:
        ready.wait(10)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(begin, calls))


@pytest.mark.parametrize("key", [route.key for route in ORDERS])
def test_one_key_makes_one_command_however_many_call_at_once(api: Api, key: str) -> None:
    headers = {"Idempotency-Key": "k1"}

    answers = at_once([lambda: api.order(key, headers=headers)] * THREADS)

    assert Counter(answer["statusCode"] for answer in answers) == {202: THREADS}
    (made,) = {body_of(answer)["id"] for answer in answers}
    assert {parse_command(payload).id for _, payload in api.broker.published} == {made}
    assert len(api.rows()) == 2


def test_of_contradicting_results_exactly_one_is_the_devices_last_word(api: Api) -> None:
    command = body_of(api.reboot())["id"]
    finals = [state for state in State if state.final]

    moved = at_once([partial(api.says, command, state) for state in finals * 3])

    accepted = [entry.state for entry in moved if entry is not None]
    assert len(accepted) == 1
    assert body_of(api.get(command))["state"] == accepted[0]
    assert len(body_of(api.get(command))["transitions"]) == 2


def test_words_of_one_command_in_any_order_end_at_the_last_one(api: Api) -> None:
    command = body_of(api.reboot())["id"]
    words = [State.DELIVERED, State.IN_PROGRESS, State.SUCCEEDED] * 4

    at_once([partial(api.says, command, state) for state in words])

    body = body_of(api.get(command))
    ranks = [list(State).index(State(step["state"])) for step in body["transitions"]]
    assert (body["state"], ranks) == ("SUCCEEDED", sorted(set(ranks)))
    assert "due_at" not in next(row for row in api.rows() if row["id"]["S"] == command)


def test_a_result_and_the_sweep_at_once_leave_the_devices_word(api: Api) -> None:
    for _ in range(8):
        command = body_of(api.reboot())["id"]
        api.clock.advance(3600)

        calls: list[Callable[[], object]] = [
            api.sweep,
            partial(api.says, command, State.SUCCEEDED),
            api.sweep,
        ]
        at_once(calls)

        body = body_of(api.get(command))
        assert (body["state"], body["inferred"]) == ("SUCCEEDED", False)


def test_sweeps_at_once_conclude_once_and_send_what_waits_once(api: Api) -> None:
    silent = body_of(api.reboot(body={"reason": "x", "expires_in_s": 1}))["id"]
    api.clock.advance(1000)
    assert sum(at_once([api.sweep] * THREADS)) == 1
    assert len(body_of(api.get(silent))["transitions"]) == 2

    api.reboot(body={"reason": "x", "when_online": True})
    api.broker.published.clear()
    api.clock.advance(60)
    at_once([api.sweep] * THREADS)
    assert len(api.broker.published) == 1
