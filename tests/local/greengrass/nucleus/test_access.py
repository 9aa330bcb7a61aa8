from typing import Any

import pytest

from local.greengrass.nucleus.dialect import CLASSIC, DIALECTS, LITE, LITE_MAIN, Dialect
from local.greengrass.nucleus.ipc.access import MQTT, PUBSUB, allows, bytes_of

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)


def policies(
    service: str, resource: str, operation: str = "aws.greengrass#PublishToIoTCore"
) -> dict[str, Any]:
    return {service: {"p": {"operations": [operation], "resources": [resource]}}}


def may(access_control: object, resource: str, service: str = MQTT, dialect: Dialect = CLASSIC) -> bool:
    return allows(access_control, service, "PublishToIoTCore", resource, dialect=dialect, thing="robot-1")


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("cmd/a/x", "cmd/a/x", True),
        ("cmd/a/x", "cmd/a/y", False),
        ("cmd/*", "cmd/a/x", True),
        ("*", "anything/at/all", True),
        ("cmd/#", "cmd/a/x", True),
        ("cmd/+/x", "cmd/a/x", True),
        ("cmd/+/x", "cmd/a/b/x", False),
        ("cmd/a", "cmd/a/x", False),
        ("a.b", "aXb", False),
        ("what${*}", "what*", True),
        ("what${*}", "whatever", False),
        ("#", "$aws/things/robot-1/jobs", False),
    ],
)
def test_a_resource_covers_topics_by_mqtt_wildcards_and_stars(
    pattern: str, topic: str, expected: bool
) -> None:
    assert may(policies(MQTT, pattern), topic) is expected


def test_mqtt_wildcards_mean_nothing_to_local_topics() -> None:
    assert not may(policies(PUBSUB, "a/+"), "a/b", PUBSUB)
    assert may(policies(PUBSUB, "a/*"), "a/b", PUBSUB)


def test_another_operation_or_service_allows_nothing() -> None:
    assert not may(policies(MQTT, "*", "aws.greengrass#SubscribeToIoTCore"), "a")
    assert not may(policies(PUBSUB, "*"), "a")
    assert may(policies(MQTT, "*", "*"), "a")


@pytest.mark.parametrize("given", [None, {}, "text", {MQTT: 1}, {MQTT: {"p": 1}}, {MQTT: {"p": {}}}])
def test_access_control_that_is_none_allows_nothing(given: object) -> None:
    assert not may(given, "a")


@pytest.mark.parametrize(("dialect", "allowed"), [(CLASSIC, False), (LITE, False), (LITE_MAIN, True)])
def test_only_lites_main_puts_the_things_name_into_a_resource(dialect: Dialect, allowed: bool) -> None:
    assert may(policies(MQTT, "cmd/{iot:thingName}/x"), "cmd/robot-1/x", dialect=dialect) is allowed


@every_dialect
def test_a_plus_stands_for_one_level_and_the_filter_itself_may_be_subscribed_to(dialect: Dialect) -> None:
    granted = policies(MQTT, "cmd/fleet/+/reboot/req")

    assert may(granted, "cmd/fleet/robot-1/reboot/req", dialect=dialect)
    assert may(granted, "cmd/fleet/+/reboot/req", dialect=dialect)
    assert not may(granted, "cmd/fleet/robot-1/stop/req", dialect=dialect)
    assert not may(granted, "cmd/fleet/a/b/reboot/req", dialect=dialect)
    assert may(policies(MQTT, "cmd/fleet/+/+/req"), "cmd/fleet/robot-1/reboot/req", dialect=dialect)


@pytest.mark.parametrize(("dialect", "allowed"), [(CLASSIC, True), (LITE, False), (LITE_MAIN, False)])
def test_lite_refuses_everything_where_a_services_policies_need_more_than_4096_bytes(
    dialect: Dialect, allowed: bool
) -> None:
    granted = policies(MQTT, "cmd/+")
    room = 4096 - bytes_of(granted[MQTT])
    granted[MQTT]["more"] = {"resources": ["x" * (room - len("more" + "resources") - 21 - 21 - 11)]}
    assert bytes_of(granted[MQTT]) == 4096
    assert may(granted, "cmd/a", dialect=dialect)

    granted[MQTT]["more"]["resources"][0] += "x"

    assert may(granted, "cmd/a", dialect=dialect) is allowed
