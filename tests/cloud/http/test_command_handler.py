"""Every route that sends a device a command: what it sends, to whom, and what it refuses."""

from datetime import timedelta
from typing import Any

import pytest

from cloud.auth.permissions import Role
from cloud.auth.routes import ROUTES
from cloud.aws.errors import Refused, Unavailable
from contract.commands import name_of, parse_command
from contract.defaults import COMMAND_MAX_BYTES
from tests.support.cloud.api import NOW, FakeDevices, a_device, body_of
from tests.support.cloud.commanding import GET, LIST, ORDERS, REBOOT, Api

KEYS = [route.key for route in ORDERS]
OF_APPLICATIONS = [key for key in KEYS if "{app}" in key]
KINDS = {
    REBOOT: "reboot",
    "POST /devices/{device}/report": "report-now",
    "POST /devices/{device}/applications/{app}/restart": "restart-application",
    "POST /devices/{device}/applications/{app}/retry": "retry-application",
    "POST /devices/{device}/applications/{app}/logs": "collect-logs",
    "POST /devices/{device}/applications/{app}/rotate-secrets": "rotate-secrets",
}
LOGS = "POST /devices/{device}/applications/{app}/logs"
every_order = pytest.mark.parametrize("key", KEYS)
every_application_order = pytest.mark.parametrize("key", OF_APPLICATIONS)


@every_order
def test_an_order_is_in_the_ledger_then_on_its_topic_and_found_at_its_location(api: Api, key: str) -> None:
    seen: list[int] = []
    api.broker.before = lambda: seen.append(len(api.rows()))

    answer = api.order(key, {"reason": "stuck", "expires_in_s": 60}, roles="Fleet.Operator:line-3")

    body = body_of(answer)
    ((topic, payload),) = api.broker.published
    message = parse_command(payload)
    assert answer["statusCode"] == 202
    assert answer["headers"]["location"] == f"/devices/robot-7/commands/{body['id']}"
    assert (seen, body["warnings"]) == ([1], [])
    assert topic == f"cmd/fleetgrass/robot-7/{KINDS[key]}/req"
    assert (message.id, name_of(message), body["kind"]) == (body["id"], KINDS[key], KINDS[key])
    assert (message.requested_by, message.reason) == ("ada", "stuck")
    assert message.expires_at - message.issued_at == timedelta(seconds=60)
    assert getattr(message, "application", None) == ("web" if key in OF_APPLICATIONS else None)
    shown = body_of(api.get(body["id"]))
    assert (shown["state"], shown["kind"], shown["requested_by"]) == ("PENDING", KINDS[key], "ada")
    assert shown.get("application") == ("web" if key in OF_APPLICATIONS else None)


@every_order
@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 257}, "reason"),
        ({"reason": "x", "resaon": "y"}, "resaon"),
        ({"reason": "x", "expires_in_s": 0}, "expires_in_s"),
        ({"reason": "x", "expires_in_s": 7 * 24 * 3600 + 1}, "expires_in_s"),
        (["reason"], "body"),
    ],
)
def test_a_wrong_order_is_400_and_names_the_field(api: Api, key: str, body: object, named: str) -> None:
    answer = api.order(key, body)

    assert (answer["statusCode"], body_of(answer)["detail"].split(":")[0]) == (400, named)
    assert (api.rows(), api.broker.published) == ([], [])


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        (OF_APPLICATIONS[0], {"force": "yes"}),
        (LOGS, {"lines": 0}),
        (LOGS, {"lines": 501}),
        (LOGS, {"bundle": 1}),
        (REBOOT, {"delay_s": -1}),
        (REBOOT, {"delay_s": 86_401}),
        (REBOOT, {"when_online": "true"}),
    ],
)
def test_what_one_order_has_more_than_the_others_is_checked_as_strictly(
    api: Api, key: str, wrong: dict[str, object]
) -> None:
    answer = api.order(key, {"reason": "x", **wrong})
    assert (answer["statusCode"], body_of(answer)["detail"].split(":")[0]) == (400, next(iter(wrong)))


@every_order
def test_an_order_needs_an_operator_of_the_devices_group(api: Api, key: str) -> None:
    reader = api.order(key, roles="Fleet.Reader")
    elsewhere = api.order(key, roles="Fleet.Operator:line-4 Fleet.Reader")

    assert (reader["statusCode"], body_of(reader)["code"]) == (403, "role-missing")
    assert (elsewhere["statusCode"], body_of(elsewhere)["code"]) == (403, "group-not-allowed")
    assert ROUTES[key].role is Role.OPERATOR
    assert (api.rows(), api.broker.published) == ([], [])


def test_reading_commands_needs_a_reader() -> None:
    assert [ROUTES[key].role for key in (LIST, GET)] == [Role.READER] * 2


@every_order
def test_a_device_that_nobody_enrolled_is_404(api: Api, key: str) -> None:
    answer = api.order(key, device="robot-8")
    assert (answer["statusCode"], body_of(answer)["code"], api.rows()) == (404, "device-not-found", [])


@every_order
def test_a_device_that_is_offline_or_was_never_seen_is_409_with_since_when(api: Api, key: str) -> None:
    since = NOW - timedelta(minutes=5)
    api.devices = FakeDevices(
        [
            a_device(connected=False, connected_since=None, offline_since=since),
            a_device("robot-9", connected=None, last_report_at=None, stale_at=None),
        ]
    )
    offline, unknown = api.order(key), api.order(key, device="robot-9")

    assert (offline["statusCode"], body_of(offline)["code"]) == (409, "device-offline")
    assert (body_of(offline)["state"], body_of(offline)["since"]) == ("offline", "2026-11-22T11:55:00Z")
    assert (unknown["statusCode"], body_of(unknown)["state"]) == (409, "unknown")
    assert (api.rows(), api.broker.published) == ([], [])


@every_order
def test_a_stale_device_gets_its_command_and_the_operator_a_warning(api: Api, key: str) -> None:
    stale = a_device(stale_at=NOW - timedelta(minutes=1), application_names=("web",))
    api.devices = FakeDevices([stale])

    answer = api.order(key)

    (warning,) = body_of(answer)["warnings"]
    assert (answer["statusCode"], len(api.broker.published)) == (202, 1)
    assert "may not act" in warning


@every_application_order
def test_an_application_that_the_device_does_not_name_is_404(api: Api, key: str) -> None:
    answer = api.order(key, app="db")
    assert (answer["statusCode"], body_of(answer)["code"]) == (404, "application-not-found")
    assert (api.rows(), api.broker.published) == ([], [])


@every_application_order
def test_where_the_device_named_no_applications_yet_the_operator_gets_a_warning(api: Api, key: str) -> None:
    api.devices = FakeDevices([a_device()])
    answer = api.order(key)
    (warning,) = body_of(answer)["warnings"]
    assert (answer["statusCode"], len(api.broker.published)) == (202, 1)
    assert "web may not be one of them" in warning


@every_application_order
@pytest.mark.parametrize("app", ["Web", "a b", "a/b", "x" * 41, "-a"])
def test_what_is_no_application_s_name_is_400(api: Api, key: str, app: str) -> None:
    answer = api.order(key, app=app)
    assert (answer["statusCode"], body_of(answer)["field"]) == (400, "app")


@every_order
def test_the_same_key_orders_once_and_another_body_with_it_is_refused(api: Api, key: str) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = api.order(key, headers=headers)
    api.devices = FakeDevices([a_device(connected=False, offline_since=NOW - timedelta(hours=1))])

    assert api.order(key, headers=headers) == first
    assert len(api.rows()) == 2  # the command and its key
    assert len({parse_command(payload).id for _, payload in api.broker.published}) == 1
    other = api.order(key, {"reason": "other"}, headers=headers)
    assert (other["statusCode"], body_of(other)["code"]) == (422, "idempotency-key-reused")


def test_one_key_on_two_applications_is_two_different_requests(api: Api) -> None:
    api.devices = FakeDevices([a_device(application_names=("web", "db"))])
    key, headers = OF_APPLICATIONS[0], {"Idempotency-Key": "k1"}
    api.order(key, headers=headers)
    other = api.order(key, app="db", headers=headers)
    assert (other["statusCode"], body_of(other)["code"]) == (422, "idempotency-key-reused")


@every_order
@pytest.mark.parametrize("refusal", [Unavailable("Publish: timeout"), Refused("Publish: denied")])
def test_what_the_broker_does_not_take_is_503_and_so_in_the_ledger(
    api: Api, key: str, refusal: Exception
) -> None:
    api.broker.broken = refusal

    problem = body_of(answer := api.order(key))

    assert (answer["statusCode"], problem["code"]) == (503, "not-sent")
    assert answer["headers"]["location"] == f"/devices/robot-7/commands/{problem['command']}"
    shown = body_of(api.get(problem["command"]))
    assert (shown["state"], shown["code"], shown["inferred"]) == ("FAILED", "not-sent", True)
    assert [(step["state"], step["by"]) for step in shown["transitions"]] == [
        ("PENDING", "ada"), ("FAILED", "cloud"),
    ]  # fmt: skip


@every_order
def test_the_longest_words_fit_a_command_or_are_refused_where_a_url_needs_the_room(
    api: Api, key: str
) -> None:
    answer = api.order(key, {"reason": "😀" * 256}, subject="😀" * 128)

    if key == LOGS:
        assert (answer["statusCode"], body_of(answer)["code"]) == (422, "command-too-large")
        assert body_of(answer)["field"] == "reason"
        assert (api.rows(), api.broker.published) == ([], [])
    else:
        ((_, payload),) = api.broker.published
        assert len(payload) < COMMAND_MAX_BYTES


@pytest.mark.parametrize("delay_s", [0, 30, 59.5])
def test_a_reboot_may_be_for_later(api: Api, delay_s: float) -> None:
    answer = api.reboot(body={"reason": "x", "delay_s": delay_s, "expires_in_s": 60})

    ((_, payload),) = api.broker.published
    message: Any = parse_command(payload)
    assert answer["statusCode"] == 202
    assert message.not_before == (NOW + timedelta(seconds=delay_s) if delay_s else None)


@pytest.mark.parametrize("more", [{"delay_s": 60, "expires_in_s": 60}, {"delay_s": 900}])
def test_a_reboot_for_later_than_it_may_start_is_422_by_its_field(api: Api, more: dict[str, float]) -> None:
    answer = api.reboot(body={"reason": "x", **more})

    assert (answer["statusCode"], body_of(answer)["errors"][0]["field"]) == (422, "delay_s")
    assert (api.rows(), api.broker.published) == ([], [])


def test_only_an_administrator_of_the_group_passes_the_reboot_budget(api: Api) -> None:
    body = {"reason": "x", "override_budget": True}
    for roles in ("Fleet.Deployer", "Fleet.Operator Fleet.Admin:line-4"):
        answer = api.reboot(body=body, roles=roles)
        assert (answer["statusCode"], body_of(answer)["code"]) == (403, "role-missing")
        assert body_of(answer)["role"] == "Fleet.Admin"
    assert api.broker.published == []

    assert api.reboot(body=body, roles="Fleet.Admin:line-3")["statusCode"] == 202
    ((_, payload),) = api.broker.published
    message: Any = parse_command(payload)
    assert message.override_budget
