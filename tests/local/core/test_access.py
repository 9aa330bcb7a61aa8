from typing import Any

import pytest

from local.core.dialect import CLASSIC, LITE, Dialect
from local.core.ipc.access import MQTT, PUBSUB, allows


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


def test_lite_puts_the_things_name_in_where_classic_leaves_it_to_the_deployment() -> None:
    assert may(policies(MQTT, "cmd/{iot:thingName}/x"), "cmd/robot-1/x", dialect=LITE)
    assert not may(policies(MQTT, "cmd/{iot:thingName}/x"), "cmd/robot-1/x", dialect=CLASSIC)
