"""Races: fifty threads on the emulator's DynamoDB and registry, and eight callers through the real API."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config

from cloud.aws.iot_registry import Registry
from cloud.domain.audit_chain import Event
from cloud.http import audit_recorder
from local.aws.account import ROOT_KEY, LocalAws, client_arguments
from local.demo.api_client import Api
from local.platform import Platform
from tests.support.cloud.racing import RACES, TABLES, WRITERS, WRITES, Answers, Stage, make_tables
from tests.support.platform.lab import Lab, until
from tests.support.platform.robots import Robot

pytestmark = pytest.mark.platform


def a_client(aws: LocalAws, service: str) -> Any:
    """A client that all writers share."""
    many = Config(max_pool_connections=WRITERS)
    return boto3.client(service, **client_arguments(aws.endpoint_url, ROOT_KEY), config=many)  # type: ignore[call-overload]


class ReadableRegistry(Registry):
    """The cloud's registry, which need not ask what these tests look at in the end."""

    def groups_of(self, thing: str) -> frozenset[str]:
        page = self._iot.list_thing_groups_for_thing(thingName=thing, maxResults=100)
        return frozenset(one["groupName"] for one in page["thingGroups"])


class Gate:
    """Opens for each caller's first write once all have come to theirs."""

    def __init__(self, callers: int) -> None:
        self._all_here = threading.Barrier(callers)
        self._mine = threading.local()

    def begin(self, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        self._mine.waits = True
        return call()

    def pass_by(self) -> None:
        if getattr(self._mine, "waits", False):
            self._mine.waits = False
            self._all_here.wait(60)


class Gated:
    """A port whose writes wait at the gate."""

    def __init__(self, port: Any, gate: Gate) -> None:
        self._port, self._gate = port, gate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in WRITES:
            return found

        def waiting(*arguments: Any, **named: Any) -> Any:
            self._gate.pass_by()
            return found(*arguments, **named)

        return waiting


@pytest.fixture
def stage(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    remembered: list[Event] = []
    monkeypatch.setattr(audit_recorder, "audit", lambda: remembered)
    dynamodb, iot = (a_client(lab.aws, service) for service in ("dynamodb", "iot"))
    make_tables(dynamodb)
    gate = Gate(WRITERS)

    def at_once(calls: Sequence[Callable[[], dict[str, Any]]]) -> Answers:
        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(gate.begin, calls))

    yield Stage(
        Gated(dynamodb, gate),
        Gated(ReadableRegistry(iot), gate),
        lambda thing: iot.create_thing(thingName=thing),
        at_once,
    )
    for name in TABLES:
        dynamodb.delete_table(TableName=name)


@pytest.mark.parametrize("race", RACES)
def test_fifty_at_once(race: Callable[[Stage], None], stage: Stage) -> None:
    race(stage)


@pytest.fixture(scope="module")
def robot(platform: Platform) -> Iterator[Robot]:
    """A device of a group of its own."""
    robot = Robot(platform, "racer", "race-1", [])
    reader = Api(platform.api_url, platform.token("Fleet.Reader"))
    assert until(lambda: reader.get("/devices/racer")[1].get("state") == "online", 60)
    yield robot
    robot.close()


class Callers:
    """Eight who call the real API at once."""

    def __init__(self, platform: Platform) -> None:
        self._url = platform.api_url
        self._headers = {"authorization": f"Bearer {platform.token('Fleet.Deployer')}"}

    def ask(
        self, method: str, path: str, body: object = None, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        keyed = {} if key is None else {"idempotency-key": key}
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(
                method, self._url + path, json=body, headers={**self._headers, **keyed}, timeout=200
            )
        return answer.status_code, answer.json() if answer.content else {}

    def at_once(self, calls: Sequence[tuple[Any, ...]]) -> list[tuple[int, dict[str, Any]]]:
        ready = threading.Barrier(len(calls))

        def begin(call: tuple[Any, ...]) -> tuple[int, dict[str, Any]]:
            ready.wait(60)
            return self.ask(*call)

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(begin, calls))


@pytest.fixture
def callers(platform: Platform) -> Callers:
    return Callers(platform)


def codes(answers: Sequence[tuple[int, dict[str, Any]]]) -> set[tuple[int, str | None]]:
    return {(status, body.get("code")) for status, body in answers}


def test_eight_through_the_api_create_a_group_once_and_place_a_device_in_one(
    callers: Callers, robot: Robot, platform: Platform
) -> None:
    answers = callers.at_once([("POST", "/groups", {"name": "race-2"})] * 8)
    assert sorted(status for status, _ in answers) == [201] + [409] * 7
    assert codes(answers) == {(201, None), (409, "group-exists")}
    assert callers.ask("POST", "/groups", {"name": "race-3"}, "k")[0] == 201

    moves = [("PUT", f"/groups/race-{n}/devices/racer?move=true") for n in (2, 3)]
    answers = callers.at_once(moves * 4)

    assert codes(answers) <= {(200, None), (409, "membership-conflict")}
    real = [body for status, body in answers if status == 200 and body["before"] != body["group"]]
    assert [body["before"] for body in real].count("race-1") == 1
    found = a_client(platform.aws, "iot").list_thing_groups_for_thing(thingName="racer")["thingGroups"]
    shown = callers.ask("GET", "/devices/racer")[1]
    assert [one["groupName"] for one in found] == [shown["group"]]
    assert callers.ask("PUT", "/groups/race-1/devices/racer?move=true")[0] == 200


def test_eight_through_the_api_deploy_one_revision_with_one_key(callers: Callers, robot: Robot) -> None:
    request = {"target": {"group": "race-1"}, "applications": []}
    answers = callers.at_once([("POST", "/deployments", request, "deploy")] * 8)

    assert codes(answers) <= {(201, None), (409, "deployment-in-progress")}
    (made,) = {(body["id"], body["revision"]) for status, body in answers if status == 201}
    assert made[1] == 1
    assert callers.ask("POST", "/deployments", request, "deploy")[1]["id"] == made[0]
    assert codes([callers.ask("POST", "/deployments", {**request, "reason": "x"}, "deploy")]) == {
        (422, "idempotency-key-reused")
    }


def test_eight_through_the_api_reboot_a_device_once_with_one_key(callers: Callers, robot: Robot) -> None:
    answers = callers.at_once([("POST", "/devices/racer/reboot", {"reason": "race"}, "reboot")] * 8)

    assert codes(answers) == {(202, None)}
    (command,) = {body["id"] for _, body in answers}
    assert until(lambda: callers.ask("GET", f"/devices/racer/commands/{command}")[1]["state"] == "SUCCEEDED")
    assert [each.id for each in robot.commands] == [command]


def test_eight_through_the_api_reboot_a_group_once_and_cancel_it_once(callers: Callers, robot: Robot) -> None:
    robot.commands.clear()
    robot.hold = True
    answers = callers.at_once([("POST", "/groups/race-1/reboots", {"reason": "race"})] * 8)
    assert codes(answers) == {(202, None), (409, "group-reboot-running")}
    (reboot,) = {body["id"] for status, body in answers if status == 202}
    assert {body["group_reboot"] for status, body in answers if status == 409} == {reboot}
    path = f"/groups/race-1/reboots/{reboot}"
    assert until(lambda: len(robot.commands) == 1)

    answers = callers.at_once([("POST", f"{path}/cancel")] * 8)

    assert codes(answers) == {(202, None)}
    assert {body["state"] for _, body in answers} == {"STOPPING"}
    robot.finish(robot.commands[0])
    assert until(lambda: callers.ask("GET", path)[1].get("ended_at") is not None)
    assert len(robot.commands) == 1
