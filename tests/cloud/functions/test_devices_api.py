"""GET /devices and GET /devices/{device}."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cloud.domain.deployments.deployment import DeploymentState
from cloud.functions.devices.get_device import get_device
from cloud.functions.devices.list_devices import list_devices
from cloud.tables.device_lists import DeviceLists
from cloud.tables.devices import Devices
from contract.reports import DesiredStatus, PublishedPort
from tests.support.cloud.answers import served
from tests.support.cloud.api import NOW, Clock, an_event, body_of
from tests.support.cloud.deployments import a_deployment, deployments_in_memory
from tests.support.cloud.devices import (
    Calls,
    a_presence,
    a_report,
    a_status,
    at,
    devices_table,
    dynamodb_in_memory,
    news,
)

LIST, GET = "GET /devices", "GET /devices/{device}"
IMAGE = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/fleetgrass/hello@sha256:{'a' * 64}"


class Api:
    def __init__(self, devices: Devices, calls: Calls) -> None:
        self.devices, self.calls = devices, calls
        self.lists = DeviceLists(devices._table, devices._name)
        self.deployments = deployments_in_memory()

    def page(self, roles: str = "Fleet.Reader", **query: str) -> dict[str, Any]:
        entry = served(
            lambda r: list_devices(r, devices=self.lists, deployments=self.deployments, clock=Clock()),
            route=LIST,
        )
        return entry(an_event(LIST, roles=roles) | {"queryStringParameters": query or None}, None)

    def get(self, device: str, roles: str = "Fleet.Reader") -> dict[str, Any]:
        entry = served(
            lambda r: get_device(r, devices=self.devices, deployments=self.deployments, clock=Clock()),
            route=GET,
        )
        return entry(an_event(GET, path={"device": device}, roles=roles), None)

    def names(self, **query: str) -> list[str]:
        return [device["name"] for device in body_of(self.page(**query))["devices"]]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with dynamodb_in_memory() as dynamodb:
        table, calls = devices_table(dynamodb)
        for name, group in (("a", "line-3"), ("b", "line-4"), ("c", "line-3"), ("robot:7", "line-3")):
            table.create(name, group, now=NOW)
        port = PublishedPort(container_port=80, host_port=8080)
        statuses = (
            a_status("web", image=IMAGE, ports=[port]),
            a_status("db", "FAILED", code="oom", message="out of memory"),
        )
        wish = DesiredStatus(state="CONVERGING", revision=7)
        table.apply(news(a_report(1, *statuses, desired=wish), -1, "robot:7"))
        yield Api(table, calls)


def test_devices_are_listed_with_their_state_reason_and_since(api: Api) -> None:
    answer = api.page()

    assert answer["statusCode"] == 200
    devices = body_of(answer)["devices"]
    assert [(d["name"], d["state"], d["reason"]) for d in devices] == [
        ("a", "unknown", "never-seen"),
        ("b", "unknown", "never-seen"),
        ("c", "unknown", "never-seen"),
        ("robot:7", "online", "connected"),
    ]
    assert devices[0]["since"] == "2026-11-22T12:00:00Z"
    assert body_of(answer)["cursor"] is None


def test_pages_follow_each_other_by_their_cursor_without_a_scan(api: Api) -> None:
    api.calls.clear()
    names: list[str] = []
    query = {"limit": "3"}
    while True:
        body = body_of(api.page(**query))
        names += [device["name"] for device in body["devices"]]
        if body["cursor"] is None:
            break
        query["cursor"] = body["cursor"]

    assert names == ["a", "b", "c", "robot:7"]
    assert "Scan" not in api.calls


def test_a_group_is_listed_alone(api: Api) -> None:
    assert api.names(group="line-3") == ["a", "c", "robot:7"]


def test_a_group_that_nobody_is_in_is_404(api: Api) -> None:
    answer = api.page(group="line-9")

    assert answer["statusCode"] == 404
    assert body_of(answer)["code"] == "group-not-found"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"cursor": "!"}, "cursor"),
        ({"cursor": "YSBi"}, "cursor"),
        ({"cursor": "_w=="}, "cursor"),
        ({"group": "a/b"}, "group"),
        ({"stat": "online"}, "stat"),
    ],
)
def test_a_wrong_parameter_is_400_and_named(api: Api, query: dict[str, str], field: str) -> None:
    answer = api.page(**query)

    assert answer["statusCode"] == 400
    assert body_of(answer)["field"] == field


def test_a_scoped_reader_sees_its_groups_only(api: Api) -> None:
    roles = "Fleet.Reader:line-4"

    assert [d["name"] for d in body_of(api.page(roles))["devices"]] == ["b"]
    assert api.page(roles, group="line-3")["statusCode"] == 403
    assert api.get("a", roles)["statusCode"] == 403
    assert api.get("b", roles)["statusCode"] == 200


def test_a_device_is_shown_with_health_and_applications_in_one_call(api: Api) -> None:
    api.calls.clear()

    answer = api.get("robot%3A7")

    assert list(api.calls) == ["GetItem"]
    body = body_of(answer)
    assert (body["state"], body["reason"], body["group"]) == ("online", "connected", "line-3")
    assert body["health"]["architecture"] == "amd64"
    assert body["desired"] == {"state": "CONVERGING", "revision": 7}
    assert [(a["name"], a["state"], a["revision"]) for a in body["applications"]] == [
        ("db", "FAILED", 7),
        ("web", "RUNNING", 7),
    ]
    assert body["applications"][1]["image"] == IMAGE
    assert body["applications"][1]["ports"] == [{"container_port": 80, "host_port": 8080, "protocol": "tcp"}]
    assert body["applications"][0]["code"] == "oom"


def test_a_device_that_works_on_another_groups_document_is_not_shown_as_converged(api: Api) -> None:
    api.devices.create("moved", "line-6", now=NOW)
    wish = DesiredStatus(state="CONVERGED", revision=7, target="thinggroup/line-3")
    api.devices.apply(news(a_report(1, desired=wish), -1, "moved"))
    api.devices.create("settled", "line-6", now=NOW)
    wish = DesiredStatus(state="CONVERGED", revision=2, target="thinggroup/line-6")
    api.devices.apply(news(a_report(1, level=1, desired=wish), -1, "settled"))

    moved, settled = body_of(api.page(group="line-6"))["devices"]

    assert moved["desired"] == body_of(api.get("moved"))["desired"]
    assert (moved["desired"]["state"], moved["desired"]["code"]) == ("CONVERGING", "other-document")
    assert "revision 7 of thinggroup/line-3" in moved["desired"]["message"]
    assert settled["desired"]["state"] == "CONVERGED"
    assert (moved["level"], settled["level"]) == (0, 1)


def test_a_device_that_has_not_what_its_group_is_to_have_is_not_shown_as_converged(api: Api) -> None:
    """The device kept r7, whatever the cause; r8 is in force, and Greengrass refused r9."""
    target, sha, other = "thinggroup/line-7", "8" * 64, "7" * 64
    document = f"s3://bucket/desired/{sha}.json"
    kept, wanted, _refused = revisions = [
        a_deployment(
            revision, target, id=f"dep-{revision:026}", document_uri=document, state=state
        )
        for revision, state in (
            (7, DeploymentState.SUPERSEDED), (8, DeploymentState.ACTIVE), (9, DeploymentState.FAILED),
        )
    ]  # fmt: skip
    for each in revisions:
        api.deployments.create(each, due_at=NOW)
    said = {
        "kept": DesiredStatus(
            state="CONVERGED", revision=7, deployment_id=kept.id, target=target, document_sha256=other
        ),
        "led-away": DesiredStatus(
            state="CONVERGED", revision=8, deployment_id=wanted.id, target=target, document_sha256=sha,
            wanted_sha256=other,
        ),
        "right": DesiredStatus(
            state="CONVERGED", revision=8, deployment_id=wanted.id, target=target, document_sha256=sha
        ),
        "works": DesiredStatus(state="FAILED", revision=7, deployment_id=kept.id, code="x", target=target),
    }  # fmt: skip
    for name, wish in said.items():
        api.devices.create(name, "line-7", now=NOW)
        api.devices.apply(news(a_report(1, desired=wish), -1, name))

    api.calls.clear()
    shown = {each["name"]: each["desired"] for each in body_of(api.page(group="line-7"))["devices"]}

    states = {name: (desired["state"], desired.get("code")) for name, desired in shown.items()}
    assert states == {
        "kept": ("CONVERGING", "other-document"), "led-away": ("CONVERGING", "other-document"),
        "right": ("CONVERGED", None), "works": ("FAILED", "x"),
    }  # fmt: skip
    assert shown["kept"]["message"] == "it follows revision 7 of thinggroup/line-7"
    assert shown == {name: body_of(api.get(name))["desired"] for name in said}


def test_how_steady_a_device_is_shows_in_the_list_and_in_its_own_page(api: Api) -> None:
    api.devices.create("shaky", "line-5", now=NOW)
    told = news(a_report(1, at=at(-73)), -70, "shaky")
    for version, begin in enumerate([-4000, -70, -60]):
        for connected, event in ((True, begin), (False, begin + 5)):
            presence = a_presence(connected, version, session=f"s{version}", event=event)
            api.devices.record_presence(replace(presence, device="shaky"))
    api.devices.apply(told)

    (listed,) = body_of(api.page(group="line-5"))["devices"]
    shown = body_of(api.get("shaky"))

    steadiness = {
        "state": "offline",
        "reason": "connection-lost",
        "since": "2026-11-22T11:59:05Z",
        "flap_count": 2,
        "disconnect_reason": "connection-lost",
        "clock_skew_s": -3.0,
    }
    assert listed.items() >= steadiness.items()
    assert shown.items() >= steadiness.items()


def test_a_device_that_was_never_enrolled_is_404(api: Api) -> None:
    answer = api.get("ghost")

    assert answer["statusCode"] == 404
    assert body_of(answer)["code"] == "device-not-found"
