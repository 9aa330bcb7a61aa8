"""Fifty writers at once, and what must be true afterwards, whatever DynamoDB and registry they race for."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cloud.aws.errors import NotFound
from cloud.functions.groups.add_device_to_group import add_device_to_group
from cloud.functions.groups.create_group import create_group
from cloud.functions.groups.remove_device_from_group import remove_device_from_group
from cloud.http.gateway_events import Response
from cloud.http.handler import Request
from cloud.ports.groups import Groups
from cloud.services.group_membership import GroupMembership
from cloud.tables.commands import Commands
from cloud.tables.devices import Devices
from cloud.tables.dynamodb.idempotency_keys import Keys
from cloud.tables.memberships import Membership, Memberships
from contract.commands import parse_command
from tests.support.cloud import deploying, group_rebooting
from tests.support.cloud.answers import served
from tests.support.cloud.api import COMMANDS, DEPLOYMENTS, DEVICES, NOW, Clock, an_event, body_of
from tests.support.cloud.commanding import REBOOT, Api
from tests.support.cloud.memory_dynamodb import table_of
from tests.support.cloud.moving import ports_of

HISTORY = "history"
WRITERS, BODIES = 50, 5
CREATE, ADD = "POST /groups", "PUT /groups/{group}/devices/{device}"
REMOVE = "DELETE /groups/{group}/devices/{device}"
#: The calls that race; whoever races has read what it reads before the first of them.
WRITES = frozenset({"put_item", "update_item", "delete_item", "transact_write_items", "create_group"})
Answers = list[dict[str, Any]]
_numbers = itertools.count()


class KeepsGroups(Groups, Protocol):
    """The registry, AWS's or one in memory."""

    def groups_of(self, thing: str) -> frozenset[str]: ...


@dataclass(frozen=True)
class Stage:
    """``dynamodb`` has empty tables; a thing is in the registry before it is enrolled (``add_thing``)."""

    dynamodb: Any
    registry: KeepsGroups
    add_thing: Callable[[str], object]
    at_once: Callable[[Sequence[Callable[[], dict[str, Any]]]], Answers]

    def call(
        self, operation: Callable[[Request], Response], route: str, query: Any = None, **event: Any
    ) -> dict[str, Any]:
        entry = served(operation, route=route)
        return entry(an_event(route, **event) | {"queryStringParameters": query}, None)

    def create(self, name: str, description: str, **more: Any) -> dict[str, Any]:
        keys, body = Keys(self.dynamodb, COMMANDS), {"name": name, "description": description}
        return self.call(
            lambda r: create_group(r, registry=self.registry, keys=keys, clock=Clock()),
            CREATE,
            body=body,
            **more,
        )

    @property
    def mover(self) -> GroupMembership:
        return GroupMembership(Memberships(self.dynamodb, DEVICES), self.registry, Clock())

    def put(self, device: str, group: str, **query: str) -> dict[str, Any]:
        return self.call(
            lambda r: add_device_to_group(
                r, ports_of(self.registry, self.mover, Devices(self.dynamodb, DEVICES))
            ),
            ADD, query or None, path={"group": group, "device": device},
        )  # fmt: skip

    def delete(self, device: str, group: str) -> dict[str, Any]:
        path = {"group": group, "device": device}
        return self.call(lambda r: remove_device_from_group(r, mover=self.mover), REMOVE, path=path)

    def has_group(self, name: str) -> bool:
        try:
            self.registry.nucleus_of(name)
        except NotFound:
            return False
        return True

    def groups(self, count: int) -> list[str]:
        names = [f"line-{next(_numbers)}" for _ in range(count)]
        for name in names:
            self.registry.create_group(name, None, made_by="the-test")
        return names

    def enrol(self, group: str | None) -> str:
        device = f"robot-{next(_numbers)}"
        self.add_thing(device)
        Devices(self.dynamodb, DEVICES).create(device, group or "none", now=NOW)
        if group is None:
            memberships = Memberships(self.dynamodb, DEVICES)
            leaving = memberships.move(Membership(device, "none"), None, NOW)
            assert leaving is not None
            assert memberships.settle(leaving)
        else:
            self.registry.add(device, group)
        return device

    def is_in(self, device: str, group: str | None) -> None:
        """Row and registry agree, and nothing is under way."""
        assert Memberships(self.dynamodb, DEVICES).get(device) == Membership(device, group)
        assert self.registry.groups_of(device) == (frozenset({group}) if group else frozenset())


def make_tables(dynamodb: Any) -> None:
    """Make the tables that are raced for, as the template has them."""
    for name, resource in TABLES.items():
        dynamodb.create_table(**table_of(resource) | {"TableName": name})


def told(answers: Answers) -> Counter[tuple[int, str | None]]:
    """Status and problem's code of every answer."""
    return Counter((a["statusCode"], body_of(a).get("code") if a.get("body") else None) for a in answers)


def one_of_all(answers: Answers, won: int, *lost: tuple[int, str]) -> dict[str, Any]:
    """Return the one answer that has the status ``won``; every other one is among ``lost``."""
    (winner,) = (answer for answer in answers if answer["statusCode"] == won)
    assert set(told([a for a in answers if a is not winner])) <= set(lost), told(answers)
    return winner


def one_body_of_all(answers: Answers, won: int, same: Callable[[Any], object]) -> int:
    """Return whose body won of answers to one key with body ``n % BODIES``: the rest are refused it."""
    winners = [n for n, answer in enumerate(answers) if answer["statusCode"] == won]
    (body,) = {n % BODIES for n in winners}
    each = WRITERS // BODIES
    assert told(answers) == {(won, None): each, (422, "idempotency-key-reused"): WRITERS - each}
    assert len({str(same(body_of(answers[n]))) for n in winners}) == 1
    return body


TABLES = {
    DEVICES: "DevicesTable",
    HISTORY: "HistoryTable",
    COMMANDS: "CommandsTable",
    DEPLOYMENTS: "DeploymentsTable",
}
KEY = {"Idempotency-Key": "the-key"}


def of_all_who_create_a_group_one_does(stage: Stage) -> None:
    name = f"line-{next(_numbers)}"

    answers = stage.at_once([lambda n=n: stage.create(name, f"number {n % 2}") for n in range(WRITERS)])  # type: ignore[misc]

    one_of_all(answers, 201, (409, "group-exists"))
    assert stage.has_group(name)
    assert told([stage.create(name, "number 0")]) == {(409, "group-exists"): 1}


def a_key_creates_one_group(stage: Stage) -> None:
    names = [f"line-{next(_numbers)}" for _ in range(BODIES)]

    answers = stage.at_once(
        [lambda n=n: stage.create(names[n % BODIES], "it", headers=KEY) for n in range(WRITERS)]  # type: ignore[misc]
    )

    won = one_body_of_all(answers, 201, lambda body: body)
    assert [name for name in names if stage.has_group(name)] == [names[won]]


def of_all_who_place_a_device_one_does(stage: Stage) -> None:
    device, groups = stage.enrol(None), stage.groups(BODIES)

    answers = stage.at_once([lambda n=n: stage.put(device, groups[n % BODIES]) for n in range(WRITERS)])  # type: ignore[misc]

    winner = one_of_all(answers, 200, (409, "membership-conflict"))
    assert body_of(winner)["before"] is None
    stage.is_in(device, body_of(winner)["group"])


def of_all_who_move_a_device_one_does(stage: Stage) -> None:
    here, *there = stage.groups(1 + BODIES)
    device = stage.enrol(here)

    answers = stage.at_once(
        [lambda n=n: stage.put(device, there[n % BODIES], move="true") for n in range(WRITERS)]  # type: ignore[misc]
    )

    winner = one_of_all(answers, 200, (409, "membership-conflict"))
    assert body_of(winner)["before"] == here
    stage.is_in(device, body_of(winner)["group"])


def of_all_who_take_a_device_out_one_does(stage: Stage) -> None:
    (here,) = stage.groups(1)
    device = stage.enrol(here)

    answers = stage.at_once([lambda: stage.delete(device, here)] * WRITERS)

    one_of_all(answers, 204, (409, "membership-conflict"))
    stage.is_in(device, None)


def made_once(harness: deploying.DeploymentHarness, deployment: str) -> bool:
    """Whether Greengrass made one deployment, for that one of ours."""
    (token,) = harness.greengrass.by_token
    return token.startswith(deployment)


def of_all_who_deploy_one_does(stage: Stage) -> None:
    harness = deploying.DeploymentHarness(stage.dynamodb)

    answers = stage.at_once([harness.post] * WRITERS)

    winner = one_of_all(answers, 201, (409, "revision-conflict"), (409, "deployment-in-progress"))
    assert (body_of(winner)["revision"], harness.states()) == (1, [(1, "ACTIVE")])
    assert made_once(harness, body_of(winner)["id"])
    assert len(harness.carried()) == 1


def of_all_who_deploy_on_one_revision_one_does(stage: Stage) -> None:
    harness = deploying.DeploymentHarness(stage.dynamodb)
    assert harness.post()["statusCode"] == 201
    seen = {"If-Match": '"1"'}

    answers = stage.at_once([lambda: harness.post(headers=seen)] * WRITERS)

    winner = one_of_all(answers, 201, (412, "precondition-failed"), (409, "deployment-in-progress"))
    assert (body_of(winner)["revision"], harness.states()) == (2, [(1, "SUPERSEDED"), (2, "ACTIVE")])
    assert len(harness.carried()) == 2
    assert told([harness.post(headers=seen)]) == {(412, "precondition-failed"): 1}


def a_key_deploys_once(stage: Stage) -> None:
    harness = deploying.DeploymentHarness(stage.dynamodb)
    bodies = [deploying.a_wish(reason=f"number {n}") for n in range(BODIES)]

    answers = stage.at_once(
        [lambda n=n: harness.post(bodies[n % BODIES], headers=KEY) for n in range(WRITERS)]  # type: ignore[misc]
    )

    won = one_body_of_all(answers, 201, lambda body: (body["id"], body["revision"]))
    assert harness.states() == [(1, "ACTIVE")]
    (made,) = harness.deployments.newest_first("thinggroup/line-3")
    assert made.reason == f"number {won}"
    assert made_once(harness, made.id)
    assert len(harness.carried()) == 1


def a_key_reboots_a_device_once(stage: Stage) -> None:
    api = Api(stage.dynamodb, Commands(stage.dynamodb, COMMANDS))

    answers = stage.at_once(
        [
            lambda n=n: api.order(REBOOT, {"reason": f"number {n % BODIES}"}, headers=KEY)  # type: ignore[misc]
            for n in range(WRITERS)
        ]
    )

    won = one_body_of_all(answers, 202, lambda body: body["id"])
    sent = {(topic, payload) for topic, payload in api.broker.published}
    ((topic, payload),) = sent  # maybe more than once, and the same: a device does what it knows once
    assert topic == "cmd/fleetgrass/robot-7/reboot/req"
    (stored,), _ = api.commands.page("robot-7", before=None, limit=10)
    assert (stored.id, stored.reason) == (parse_command(payload).id, f"number {won}")


def of_all_reboots_of_a_device_one_is_left_to_be_done(stage: Stage) -> None:
    api = Api(stage.dynamodb, Commands(stage.dynamodb, COMMANDS))

    answers = stage.at_once([api.reboot] * WRITERS)

    assert told(answers) == {(202, None): WRITERS}
    stored, _ = api.commands.page("robot-7", before=None, limit=100)
    assert {each.id for each in stored} == {body_of(answer)["id"] for answer in answers}
    left = [each.id for each in stored if each.conclusion(NOW) is None]
    assert left == [max(each.id for each in stored)]
    assert left[0] in {parse_command(payload).id for _, payload in api.broker.published}


def of_all_who_reboot_a_group_one_does(stage: Stage) -> None:
    group = f"line-{next(_numbers)}"
    harness = _group_reboots(stage, group)

    answers = stage.at_once([lambda: harness.post(group)] * WRITERS)

    winner = body_of(one_of_all(answers, 202, (409, "group-reboot-running")))
    refused = {body_of(a)["group_reboot"] for a in answers if a["statusCode"] == 409}
    assert refused == {winner["id"]}
    assert set(harness.queue.bodies) == {harness.queue.bodies[0]}


def a_key_reboots_a_group_once(stage: Stage) -> None:
    group = f"line-{next(_numbers)}"
    harness = _group_reboots(stage, group)

    answers = stage.at_once(
        [
            lambda n=n: harness.post(group, {"reason": f"number {n % BODIES}"}, headers=KEY)  # type: ignore[misc]
            for n in range(WRITERS)
        ]
    )

    won = one_body_of_all(answers, 202, lambda body: body["id"])
    (reboot,) = {body_of(a)["id"] for a in answers if a["statusCode"] == 202}
    made = harness.reboots.get(reboot)
    assert made is not None
    assert made.reason == f"number {won}"
    assert harness.pump() == []
    assert len(harness.broker.published) == 1  # the first device's command, however many wake-ups there were


def a_group_reboot_is_cancelled_once(stage: Stage) -> None:
    group = f"line-{next(_numbers)}"
    harness = _group_reboots(stage, group)
    reboot = body_of(harness.post(group))["id"]
    before = harness.reboots.get(reboot)
    path = {"group": group, "reboot": reboot}

    answers = stage.at_once([lambda: harness.call(group_rebooting.CANCEL, path)] * WRITERS)

    assert set(told(answers)) <= {(202, None), (409, "group-reboot-ended")}
    assert (202, None) in told(answers)
    after = harness.reboots.get(reboot)
    assert before is not None
    assert after is not None
    assert after.version == before.version + 1
    assert harness.pump() == []
    assert harness.broker.published == []
    assert harness.call(group_rebooting.POST, {"group": group}, body={"reason": "again"})["statusCode"] == 202


def _group_reboots(stage: Stage, group: str) -> group_rebooting.GroupRebootHarness:
    harness = group_rebooting.GroupRebootHarness(stage.dynamodb, Devices(stage.dynamodb, DEVICES, HISTORY))
    harness.enrol(*(f"robot-{next(_numbers)}" for _ in range(3)), group=group)
    return harness


RACES: tuple[Callable[[Stage], None], ...] = (
    of_all_who_create_a_group_one_does,
    a_key_creates_one_group,
    of_all_who_place_a_device_one_does,
    of_all_who_move_a_device_one_does,
    of_all_who_take_a_device_out_one_does,
    of_all_who_deploy_one_does,
    of_all_who_deploy_on_one_revision_one_does,
    a_key_deploys_once,
    a_key_reboots_a_device_once,
    of_all_reboots_of_a_device_one_is_left_to_be_done,
    of_all_who_reboot_a_group_one_does,
    a_key_reboots_a_group_once,
    a_group_reboot_is_cancelled_once,
)
