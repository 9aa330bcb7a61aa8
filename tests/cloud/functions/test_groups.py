"""Groups, and devices in them: the row decides who wins, the registry follows, whatever dies between."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cloud.aws.account import Account
from cloud.aws.attributes import to_item
from cloud.aws.errors import Unavailable
from cloud.aws.iot_registry import Registry
from cloud.domain.deployments.greengrass_components import NUCLEUS, TIME_SOURCE, Components
from cloud.domain.idempotency import KEPT_S
from cloud.functions.groups.add_device_to_group import add_device_to_group
from cloud.functions.groups.create_group import create_group
from cloud.functions.groups.list_groups import list_groups
from cloud.functions.groups.remove_device_from_group import remove_device_from_group
from cloud.services.group_membership import SETTLES_WITHIN, GroupMembership
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.tables.dynamodb.idempotency_keys import Keys
from cloud.tables.memberships import Memberships
from contract.names import COMPONENT, Nucleus
from tests.support.cloud.answers import served
from tests.support.cloud.api import ACCOUNT, NOW, REGION, Clock, OneCallAtATime, an_event, body_of
from tests.support.cloud.devices import a_connection_event, news
from tests.support.cloud.fakes import FakeGreengrass
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB, table_of
from tests.support.cloud.moving import ports_of
from tests.support.cloud.template import template

ADD, REMOVE = "PUT /groups/{group}/devices/{device}", "DELETE /groups/{group}/devices/{device}"
_tables = itertools.count()


class Registered:
    """The registry, which may die before a call, and keeps what was asked of it."""

    def __init__(self, iot: Any) -> None:
        self._registry = Registry(iot)
        self.calls: list[str] = []
        self.dies_at: int | None = None

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._registry, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            if name in ("add", "remove"):
                if self.dies_at == len(self.calls):
                    raise Unavailable("the function ended here")
                self.calls.append(name)
            return call(*arguments, **named)

        return counted


class GroupHarness:
    def __init__(self, iot: Any, dynamodb: Any, table: str) -> None:
        self.dynamodb = dynamodb
        self.devices = Devices(dynamodb, table)
        self.memberships = Memberships(dynamodb, table)
        self.registry = Registered(iot)
        self.clock = Clock()
        self.mover = GroupMembership(self.memberships, self.registry, self.clock)
        self.greengrass = FakeGreengrass()
        self._iot, self._number = iot, next(_tables)

    def group(self, name: str) -> str:
        full = f"{name}-{self._number}"
        self._iot.create_thing_group(thingGroupName=full)
        return full

    def enrol(self, name: str, group: str) -> str:
        full = f"{name}-{self._number}"
        self._iot.create_thing(thingName=full)
        self._iot.add_thing_to_thing_group(thingName=full, thingGroupName=group)
        self.devices.create(full, group, now=NOW)
        return full

    def deployed(self, group: str, components: Components) -> None:
        """Have Greengrass have a deployment to ``group``, the newest."""
        self.greengrass.revise(Account("aws", REGION, ACCOUNT).iot_arn(f"thinggroup/{group}"), components)

    def put(self, device: str, group: str, *, roles: str = "Fleet.Deployer", **query: str) -> dict[str, Any]:
        ports = ports_of(self.registry, self.mover, self.devices, self.greengrass)
        entry = served(lambda r: add_device_to_group(r, ports), route=ADD)
        event = an_event(ADD, path={"group": group, "device": device}, roles=roles)
        return entry(event | {"queryStringParameters": query or None}, None)

    def delete(self, device: str, group: str) -> dict[str, Any]:
        entry = served(lambda r: remove_device_from_group(r, mover=self.mover), route=REMOVE)
        return entry(an_event(REMOVE, path={"group": group, "device": device}), None)

    def where(self, device: str) -> tuple[str | None, set[str]]:
        """The group by the row, and the groups by the registry."""
        found = self.memberships.get(device)
        assert found is not None
        listed = self._iot.list_thing_groups_for_thing(thingName=device)["thingGroups"]
        return found.group, {one["groupName"] for one in listed}


@pytest.fixture(scope="module")
def aws() -> Iterator[tuple[Any, Any]]:
    with mock_aws(), pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        dynamodb = boto3.client("dynamodb", region_name=REGION)
        described = template()["Resources"]["DevicesTable"]["Properties"]
        wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        dynamodb.create_table(TableName="groups", **{name: described[name] for name in wanted})
        yield boto3.client("iot", region_name=REGION), dynamodb


@pytest.fixture
def harness(aws: tuple[Any, Any]) -> GroupHarness:
    return GroupHarness(*aws, "groups")


def test_a_device_of_no_group_is_put_into_one_and_taken_out_again(harness: GroupHarness) -> None:
    line = harness.group("line")
    robot = harness.enrol("robot", line)

    assert harness.delete(robot, line)["statusCode"] == 204
    assert harness.where(robot) == (None, set())
    answer = harness.put(robot, line)

    assert (answer["statusCode"], body_of(answer)["before"]) == (200, None)
    assert harness.where(robot) == (line, {line})


def test_a_device_is_in_one_group_and_moves_only_when_that_is_said(harness: GroupHarness) -> None:
    here, there = harness.group("here"), harness.group("there")
    robot = harness.enrol("robot", here)

    refused = harness.put(robot, there)
    assert (refused["statusCode"], body_of(refused)["code"]) == (409, "device-in-group")
    assert body_of(refused)["group"] == here
    assert harness.where(robot) == (here, {here})

    assert harness.put(robot, there, move="true")["statusCode"] == 200
    assert harness.where(robot) == (there, {there})
    assert harness.registry.calls == ["remove", "add"]


def test_putting_it_where_it_is_changes_nothing(harness: GroupHarness) -> None:
    line = harness.group("line")
    robot = harness.enrol("robot", line)

    assert harness.put(robot, line)["statusCode"] == 200
    assert harness.registry.calls == []


def test_a_caller_needs_the_role_where_the_device_comes_from_too(harness: GroupHarness) -> None:
    here, there = harness.group("here"), harness.group("there")
    robot = harness.enrol("robot", here)

    assert harness.put(robot, there, move="true", roles=f"Fleet.Deployer:{there}")["statusCode"] == 403
    assert harness.where(robot) == (here, {here})


def deployed(**nucleus: object) -> Components:
    update = {"merge": json.dumps(nucleus)}
    return {
        COMPONENT: {"componentVersion": "1.0.0"},
        NUCLEUS: {"componentVersion": "2.18.0", "configurationUpdate": update},
    }


IN_TIME, OF_OLD = deployed(**TIME_SOURCE), deployed(interpolateComponentConfiguration=True)


@pytest.mark.parametrize("leaves_first", [False, True])
def test_a_group_whose_values_a_device_would_not_take_is_refused_with_the_cure(
    harness: GroupHarness, leaves_first: bool
) -> None:
    here, there = harness.group("here"), harness.group("there")
    robot = harness.enrol("robot", here)
    harness.deployed(there, OF_OLD)
    if leaves_first:
        harness.delete(robot, here)

    refused = harness.put(robot, there, move="true")

    assert (refused["statusCode"], body_of(refused)["code"]) == (409, "group-needs-deployment")
    assert f"upgrade-agent --group {there}" in body_of(refused)["detail"]
    assert harness.where(robot)[0] == (None if leaves_first else here)
    harness.deployed(there, IN_TIME)
    assert harness.put(robot, there, move="true")["statusCode"] == 200


@pytest.mark.parametrize("components", [None, {COMPONENT: {"componentVersion": "1.0.0"}}])
def test_a_group_with_nothing_to_merge_or_of_no_named_nucleus_takes_every_device(
    harness: GroupHarness, components: Components | None
) -> None:
    here, there = harness.group("here"), harness.group("there")
    robot = harness.enrol("robot", here)
    if components is not None:
        harness.deployed(there, components)

    assert harness.put(robot, there, move="true")["statusCode"] == 200


def test_a_nucleus_that_does_not_know_the_setting_is_refused_whatever_it_is_told(
    harness: GroupHarness,
) -> None:
    here, there = harness.group("here"), harness.group("there")
    robot = harness.enrol("robot", here)
    old = {**IN_TIME[NUCLEUS], "componentVersion": "2.14.3"}
    harness.deployed(there, {**IN_TIME, NUCLEUS: old})

    refused = body_of(harness.put(robot, there, move="true"))

    assert refused["code"] == "group-needs-deployment"
    assert "2.15.0" in refused["detail"]


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("leaves_first", [True, False])
def test_a_device_comes_into_no_group_of_the_other_nucleus(
    harness: GroupHarness, said: bool, leaves_first: bool
) -> None:
    here, there, fitting = harness.group("here"), harness.group("there"), harness.group("fitting")
    for group, nucleus in ((here, Nucleus.LITE), (there, Nucleus.CLASSIC), (fitting, Nucleus.LITE)):
        harness.registry.fix_nucleus(group, nucleus)
    robot = harness.enrol("robot", here)
    if said:
        harness.devices.apply(news(a_connection_event(1, nucleus="lite"), 1, robot))
    if leaves_first:
        harness.delete(robot, here)

    answer = harness.put(robot, there, move="true")

    if not said and leaves_first:  # nobody knows
        assert answer["statusCode"] == 200
        return
    assert (answer["statusCode"], body_of(answer)["code"]) == (409, "nucleus-mismatch")
    assert "Choose a group of Nucleus Lite" in body_of(answer)["detail"]
    assert harness.where(robot)[0] == (None if leaves_first else here)
    assert harness.put(robot, fitting, move="true")["statusCode"] == 200


def test_a_group_of_lite_asks_for_no_deployment_before_a_device_comes(harness: GroupHarness) -> None:
    here, there = harness.group("here"), harness.group("there")
    robot = harness.enrol("robot", here)
    harness.registry.fix_nucleus(there, Nucleus.LITE)
    harness.deployed(there, OF_OLD)  # which the next deployment mends

    assert harness.put(robot, there, move="true")["statusCode"] == 200


def test_a_device_that_runs_a_nucleus_of_before_the_setting_stays_until_its_group_has_a_newer_one(
    harness: GroupHarness,
) -> None:
    """Its nucleus, and not the new group's, carries out the first deployment there."""
    here, there = harness.group("here"), harness.group("there")
    robot = harness.enrol("robot", here)
    old = {**IN_TIME[NUCLEUS], "componentVersion": "2.14.3"}
    harness.deployed(here, {**IN_TIME, NUCLEUS: old})
    harness.deployed(there, IN_TIME)

    refused = body_of(harness.put(robot, there, move="true"))

    assert refused["code"] == "group-needs-deployment"
    assert f"nucleus 2.15.0 or newer to {here} first" in refused["detail"]
    harness.deployed(here, IN_TIME)
    assert harness.put(robot, there, move="true")["statusCode"] == 200


def test_a_device_of_the_version_before_stays_where_the_new_group_names_no_nucleus(
    harness: GroupHarness,
) -> None:
    """Its files do not have the setting, and its own group's deployment does not either."""
    here, there = harness.group("here"), harness.group("there")
    robot = harness.enrol("robot", here)
    harness.deployed(here, OF_OLD)
    harness.deployed(there, {COMPONENT: {"componentVersion": "1.0.0"}})

    refused = body_of(harness.put(robot, there, move="true"))

    assert refused["code"] == "group-needs-deployment"
    assert f"upgrade-agent --group {here}" in refused["detail"]
    harness.deployed(here, IN_TIME)
    assert harness.put(robot, there, move="true")["statusCode"] == 200


def test_a_device_that_was_taken_out_first_is_judged_by_what_it_follows_still(harness: GroupHarness) -> None:
    here, there = harness.group("here"), harness.group("there")
    robot = harness.enrol("robot", here)
    harness.devices.apply(news(a_connection_event(1), 1, robot))  # of level 0
    harness.dynamodb.update_item(
        TableName="groups", Key=to_item({"device": robot}), UpdateExpression="SET desired = :desired",
        ExpressionAttributeValues=to_item({":desired": {"target": f"thinggroup/{here}"}}),
    )  # fmt: skip
    harness.deployed(here, OF_OLD)
    harness.deployed(there, IN_TIME)
    harness.delete(robot, here)

    refused = body_of(harness.put(robot, there))

    assert refused["code"] == "agent-too-old"
    assert harness.put(robot, here)["statusCode"] == 200  # back to where it was, by mistake or not


@pytest.mark.parametrize(("level", "status"), [(0, 409), (1, 200)])
def test_a_device_whose_agent_would_fail_the_groups_deployment_stays_where_it_is(
    harness: GroupHarness, level: int, status: int
) -> None:
    here, there = harness.group("here"), harness.group("there")
    robot = harness.enrol("robot", here)
    harness.devices.apply(news(a_connection_event(1, level=level), 1, robot))
    harness.deployed(here, OF_OLD)
    harness.deployed(there, IN_TIME)

    answer = harness.put(robot, there, move="true")

    assert answer["statusCode"] == status
    if status == 409:
        assert (body_of(answer)["code"], NUCLEUS in body_of(answer)["detail"]) == ("agent-too-old", True)
    harness.deployed(there, {**IN_TIME, COMPONENT: {"componentVersion": "2.0.0"}})
    assert harness.put(robot, there, move="true")["statusCode"] == 200  # with another version nobody is asked


@pytest.mark.parametrize("dies_at", [0, 1])
def test_a_move_that_dies_half_way_is_finished_by_the_sweep_or_by_the_next_caller(
    harness: GroupHarness, dies_at: int
) -> None:
    here, there = harness.group("here"), harness.group("there")
    robot, other = harness.enrol("robot", here), harness.enrol("other", here)
    harness.registry.dies_at = dies_at
    assert harness.put(robot, there, move="true")["statusCode"] == 503
    assert len(harness.where(robot)[1]) <= 1

    harness.registry.dies_at = None
    refused = harness.put(robot, there)  # who has it may still live
    assert (body_of(refused)["code"], refused["headers"]["retry-after"]) == ("membership-conflict", "60")
    assert harness.mover.settle_all() == 0
    harness.clock.advance(SETTLES_WITHIN.total_seconds())
    assert harness.memberships.unsettled(harness.clock.now, 10) == [robot]
    assert harness.mover.settle_all() == 1
    assert harness.where(robot) == (there, {there})
    assert harness.mover.settle_all() == 0

    harness.registry.calls.clear()
    harness.registry.dies_at = dies_at
    assert harness.put(other, there, move="true")["statusCode"] == 503
    harness.registry.dies_at = None
    harness.clock.advance(SETTLES_WITHIN.total_seconds())
    assert harness.put(other, there)["statusCode"] == 200
    assert harness.where(other) == (there, {there})


def test_of_callers_who_move_a_device_at_once_one_wins_and_it_is_in_one_group(harness: GroupHarness) -> None:
    here = harness.group("here")
    others = [harness.group(f"there-{n}") for n in range(8)]
    robot = harness.enrol("robot", here)
    before = harness.mover.settled(robot)
    memberships = Memberships(OneCallAtATime(harness.dynamodb), "groups")

    with ThreadPoolExecutor(8) as callers:
        won = list(callers.map(lambda group: memberships.move(before, group, harness.clock.now), others))
    harness.mover.settle_all()

    (winner,) = (group for group, moved in zip(others, won, strict=True) if moved is not None)
    assert harness.where(robot) == (winner, {winner})


@pytest.mark.parametrize(
    ("device", "group", "query", "status", "code"),
    [
        ("ghost", "here", {}, 404, "device-not-found"),
        ("robot", "ghost", {}, 404, "group-not-found"),
        ("robot", "here", {"move": "yes"}, 400, "invalid-parameter"),
        ("robot", "here", {"force": "true"}, 400, "unknown-parameter"),
    ],
)
def test_what_is_not_there_or_wrong_is_said(
    harness: GroupHarness, device: str, group: str, query: dict[str, str], status: int, code: str
) -> None:
    here = harness.group("here")
    robot = harness.enrol("robot", here)

    answer = harness.put(robot if device == "robot" else device, here if group == "here" else group, **query)

    assert (answer["statusCode"], body_of(answer)["code"]) == (status, code)


def test_a_device_is_not_taken_out_of_a_group_that_it_is_not_in(harness: GroupHarness) -> None:
    here, there = harness.group("here"), harness.group("there")
    robot = harness.enrol("robot", here)

    assert body_of(harness.delete(robot, there))["code"] == "device-not-in-group"
    assert harness.where(robot) == (here, {here})


def test_groups_are_created_once_and_listed_with_their_devices(harness: GroupHarness) -> None:
    keys = Keys(MemoryDynamoDB(), "commands")
    create = served(
        lambda r: create_group(r, registry=harness.registry, keys=keys, clock=harness.clock),
        route="POST /groups",
    )
    name = f"new-{harness._number}"
    event = an_event("POST /groups", body={"name": name, "description": "the third line", "nucleus": "lite"})

    made, again = create(event, None), create(event, None)
    harness.enrol("robot", name)
    memory = MemoryDynamoDB()
    memory.create_table(**table_of("DeploymentsTable"))
    none = Deployments(memory, table_of("DeploymentsTable")["TableName"])
    listing = served(
        lambda r: list_groups(r, registry=harness.registry, devices=harness.memberships, deployments=none),
        route="GET /groups",
    )
    page = listing(an_event("GET /groups") | {"queryStringParameters": {"prefix": name}}, None)
    hidden = listing(
        an_event("GET /groups", roles="Fleet.Reader:elsewhere") | {"queryStringParameters": {"prefix": name}},
        None,
    )

    assert (made["statusCode"], again["statusCode"]) == (201, 409)
    assert body_of(page)["groups"] == [
        {"name": name, "nucleus": "lite", "devices": 1, "devices_exact": True, "latest": None}
    ]
    assert body_of(hidden)["groups"] == []


def test_a_group_is_of_a_nucleus_that_there_is(harness: GroupHarness) -> None:
    keys = Keys(MemoryDynamoDB(), "commands")
    create = served(
        lambda r: create_group(r, registry=harness.registry, keys=keys, clock=harness.clock),
        route="POST /groups",
    )
    names = {word: f"of-{word}-{harness._number}" for word in ("classic", "lite", "next", "")}

    answers = {
        word: create(an_event("POST /groups", body={"name": name, "nucleus": word}), None)
        for word, name in names.items()
    }

    assert {word: answer["statusCode"] for word, answer in answers.items()} == {
        "classic": 201, "lite": 201, "next": 400, "": 400,
    }  # fmt: skip
    for word in ("classic", "lite"):
        assert body_of(answers[word])["nucleus"] == harness.registry.nucleus_of(names[word]) == word


@pytest.mark.parametrize(("enrolled", "said"), [(1_000, (1_000, True)), (1_001, (1_000, False))])
def test_devices_of_a_group_are_counted_to_a_thousand_in_one_call(
    enrolled: int, said: tuple[int, bool]
) -> None:
    dynamodb, asked = MemoryDynamoDB(), []
    dynamodb.create_table(**table_of("DevicesTable") | {"TableName": "devices"})
    for number in range(enrolled):
        row = {"device": f"robot-{number}", "group": "line-3"}
        dynamodb.put_item(TableName="devices", Item=to_item(row))

    class Asked:
        def query(self, **arguments: Any) -> dict[str, Any]:
            asked.append(arguments)
            return dynamodb.query(**arguments)

    assert Memberships(Asked(), "devices").count("line-3") == said
    assert len(asked) == 1


def test_a_key_creates_its_group_for_a_day_from_its_first_use(harness: GroupHarness) -> None:
    dynamodb, clock, headers = MemoryDynamoDB(), Clock(), {"Idempotency-Key": "k1"}
    dynamodb.create_table(**table_of("CommandsTable") | {"TableName": "commands"})
    keys = Keys(dynamodb, "commands")
    create = served(
        lambda r: create_group(r, registry=harness.registry, keys=keys, clock=clock), route="POST /groups"
    )

    def post(name: str) -> Any:
        return create(an_event("POST /groups", body={"name": name}, headers=headers), None)["statusCode"]

    first, second = f"new-{harness._number}-1", f"new-{harness._number}-2"
    assert (post(first), post(second)) == (201, 422)
    clock.advance(KEPT_S - 1)
    assert post(first) == 201
    clock.advance(1)
    assert post(first) == 409  # asked anew, and there it is
    clock.advance(KEPT_S)
    assert (post(second), post(second), post(first)) == (201, 201, 422)
