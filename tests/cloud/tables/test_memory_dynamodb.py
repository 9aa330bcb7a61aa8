"""What stands in for DynamoDB answers as moto does, call by call, to everything that our tables ask."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.aws.errors import Conflict
from cloud.domain.commands.command import Command
from cloud.domain.commands.command_ledger import Inferred
from cloud.domain.deployments.deployment import Deployment
from cloud.domain.devices.device_filter import DeviceFilter
from cloud.domain.idempotency import Idempotency, KeyReused
from cloud.tables.commands import Commands
from cloud.tables.deployment_lists import DeploymentLists
from cloud.tables.deployments import Deployments
from cloud.tables.device_lists import DeviceLists, Position, streams
from cloud.tables.devices import Devices
from cloud.tables.memberships import Membership, Memberships
from contract.commands import CommandResult, CommandState, RebootCommand
from contract.names import identifier
from tests.support.cloud.api import NOW
from tests.support.cloud.deployments import a_deployment
from tests.support.cloud.devices import (
    a_connection_event,
    a_presence,
    a_report,
    a_status,
    at,
    dynamodb_in_memory,
    news,
)
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB, Twin, table_of

pytestmark = pytest.mark.slow

EXAMPLES = settings(max_examples=5)  # on moto: a call is five milliseconds


@pytest.fixture(scope="module")
def moto() -> Iterator[Any]:
    with dynamodb_in_memory() as client:
        yield client


_numbers = itertools.count()


def twin(moto: Any, *resources: str) -> tuple[Twin, list[str]]:
    """Return both clients as one, with empty tables of their own, and the tables' names."""
    memory = MemoryDynamoDB()
    number = next(_numbers)
    tables = [table_of(resource, number) for resource in resources]
    for table in tables:
        moto.create_table(**table)
        memory.create_table(**table)
    return Twin(moto, memory), [table["TableName"] for table in tables]


MESSAGES = st.one_of(
    st.builds(a_connection_event, st.integers(0, 6), st.sampled_from(["hello", "goodbye"])),
    st.builds(
        lambda sequence, epoch, states: a_report(
            sequence, *(a_status(name, state) for name, state in states.items()), epoch=epoch
        ),
        st.integers(0, 6),
        st.sampled_from(["epoch-a", "epoch-b"]),
        st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["RUNNING", "FAILED"])),
    ),
)
PRESENCES = st.builds(
    lambda connected, version, session, event: a_presence(connected, version, session=session, event=event),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from(["s1", "s2"]),
    st.sampled_from([0, 60, 4_000]),
)


@EXAMPLES
@given(st.lists(st.one_of(MESSAGES, PRESENCES), max_size=10))
def test_what_devices_say_is_the_same_on_both(moto: Any, said: list[Any]) -> None:
    client, names = twin(moto, "DevicesTable", "HistoryTable")
    devices = Devices(client, *names)
    for device in ("robot-6", "robot-7", "robot-8"):
        assert devices.create(device, "line-3", now=NOW)
    assert not devices.create("robot-7", "line-4", now=NOW)

    for received, message in enumerate(said):
        if hasattr(message, "epoch"):
            devices.apply(news(message, received))
        else:
            devices.record_presence(message)
        devices.get("robot-7")

    lists = DeviceLists(client, names[0])
    everybody = ["robot-6", "robot-7", "robot-8"]
    for wanted, by_since, expected in (
        (DeviceFilter(), False, everybody),
        (DeviceFilter(), True, everybody),
        (DeviceFilter(prefix="ROBOT"), False, everybody),
        (DeviceFilter(state="online"), True, None),
        (DeviceFilter(application="a"), False, None),
        (DeviceFilter(agent_version="1.0.0"), False, None),
    ):
        parts = streams(wanted, by_since=by_since, debounced_since=NOW)
        after: Sequence[Position] | None = [None] * len(parts)
        listed: list[str] = []
        while after is not None:
            page = lists.page(parts, after, limit=2, reads=2, inside=False, takes=lambda _: True)
            listed += [device.name for device in page.devices]
            after = page.after
        assert expected in (None, sorted(listed))  # both answered the same
    assert len(devices.in_group("line-3")) == 3


def test_where_devices_belong_is_the_same_on_both(moto: Any) -> None:
    client, (name, history) = twin(moto, "DevicesTable", "HistoryTable")
    memberships = Memberships(client, name)
    for device in ("robot-6", "robot-7"):
        Devices(client, name, history).create(device, "line-3", now=NOW)

    here = memberships.get("robot-7")
    assert here == Membership("robot-7", "line-3")
    away = memberships.move(here, None, NOW)
    assert away is not None
    assert memberships.move(here, "line-4", NOW) is None
    assert memberships.get("robot-7") == away
    assert memberships.unsettled(NOW, 10) == ["robot-7"]
    taken = memberships.take_up(away, at(60))
    assert taken is not None
    assert memberships.take_up(away, at(61)) is None
    assert memberships.unsettled(NOW, 10) == []
    assert [memberships.settle(one) for one in (away, taken, taken)] == [False, True, False]
    assert memberships.get("robot-7") == Membership("robot-7", None)
    assert [memberships.count(group) for group in ("line-3", "line-4")] == [(1, True), (0, True)]


WORDS = st.tuples(st.integers(0, 3), st.sampled_from(list(CommandState)))
CONCLUSIONS = st.tuples(
    st.integers(0, 3), st.sampled_from(["conclude", "withdraw", "supersede", "infer", "again"])
)


@EXAMPLES
@given(st.lists(st.one_of(WORDS, CONCLUSIONS), max_size=12))
def test_what_becomes_of_commands_is_the_same_on_both(moto: Any, told: list[tuple[int, str]]) -> None:
    client, names = twin(moto, "CommandsTable")
    commands = Commands(client, *names)
    made = [commands.create(_command(n), _key(n)) for n in range(4)]

    for step, (n, what) in enumerate(told):
        now = NOW + timedelta(seconds=400 * step)
        if isinstance(what, CommandState):
            commands.apply_result("robot-7", CommandResult(id=made[n].id, state=what, at=now), now)
        else:
            _conclude(commands, made[n], what, now)
        commands.get("robot-7", made[n].id)

    with pytest.raises(KeyReused):
        commands.by_idempotency_key(Idempotency(_key(0).key, "another"), NOW)


def _conclude(commands: Commands, command: Command, what: str, now: Any) -> None:
    match what:
        case "conclude":
            commands.conclude(command, Inferred(CommandState.FAILED, "not-sent", now))
        case "withdraw":
            commands.withdraw(command, now, code="not-sent")
        case "supersede":
            commands.supersede(command)
        case "infer":
            commands.infer_due(now)
        case _:
            again = commands.create(_command(9), _key(1))
            assert again.id == _command(1).id


def _command(n: int) -> Command:
    message = RebootCommand(
        id=identifier("cmd", unix_ms=n, random80=n),
        issued_at=at(n),
        expires_at=at(600),
        requested_by="ada",
        reason="because",
    )
    return Command.made_of("robot-7", message)


def _key(n: int) -> Idempotency:
    return Idempotency(f"key-{n}", "same")


TARGETS = ("thinggroup/line-3", "thinggroup/line-4")
STEPS = st.tuples(
    st.sampled_from(["create", "activate", "fail", "succeed", "supersede", "again"]), st.integers(0, 1)
)


@EXAMPLES
@given(st.lists(STEPS, max_size=12))
def test_what_becomes_of_deployments_is_the_same_on_both(moto: Any, steps: list[tuple[str, int]]) -> None:
    client, names = twin(moto, "DeploymentsTable")
    deployments, lists = Deployments(client, *names), DeploymentLists(client, *names)
    made: list[Deployment] = []
    for step, (what, n) in enumerate([("create", 0), *steps]):
        now = NOW + timedelta(seconds=step)
        deployment = made[-1 - n] if len(made) > n else None
        if what == "create":
            made.append(_next(made, TARGETS[n], step))
            deployments.create(made[-1], due_at=now, idempotency=_key(step))
        elif deployment is not None:
            _happens(deployments, deployments.get(deployment.id) or deployment, what, now)
    with contextlib.suppress(Conflict):
        deployments.create(made[0], due_at=NOW)
    list(deployments.due(NOW + timedelta(seconds=6)))

    newest = sorted((d.id for d in made), reverse=True)
    for reads in (1, 2, 99):
        listed, before, more = list[str](), None, True
        while more:
            page = lists.of_all(before=before, reads=reads)
            listed += [headline.id for headline in page.headlines]
            before, more = listed[-1], page.more
        assert listed == newest
    for target in TARGETS:
        of_target = lists.of_target(target, before=None, reads=2)
        assert [h.id for h in of_target.headlines] == [d.id for d in deployments.newest_first(target)][:2]


def _next(made: Sequence[Deployment], target: str, step: int) -> Deployment:
    revision = 1 + sum(each.target == target for each in made)
    return a_deployment(revision, target, id=identifier("dep", unix_ms=step, random80=0))


def _happens(deployments: Deployments, deployment: Deployment, what: str, now: datetime) -> None:
    match what:
        case "activate":
            deployments.activate(deployment, greengrass_id="g", job_id=None, now=now, due_at=now)
        case "fail":
            deployments.fail(deployment, code="greengrass-refused", message="no", now=now)
        case "succeed":
            deployments.succeed(deployment, now=now)
        case "supersede":
            deployments.supersede_before(deployment, now=now)
        case _:
            deployments.look_again(deployment, due_at=now)


def test_a_difference_is_seen() -> None:
    one: Any = MemoryDynamoDB()
    other: Any = MemoryDynamoDB()
    for client in (one, other):
        client.create_table(**table_of("DevicesTable"))
    Devices(one, table_of("DevicesTable")["TableName"]).create("robot-7", "line-3", now=NOW)

    with pytest.raises(AssertionError, match="get_item"):
        Devices(Twin(one, other), table_of("DevicesTable")["TableName"]).get("robot-7")
