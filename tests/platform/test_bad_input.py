"""What operators and devices get wrong, through the real API and broker: a clear answer, nothing lost."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import boto3
import pytest

from contract import topics
from local.aws.account import ROOT_KEY, client_arguments
from local.aws.iam_users import STACK
from local.demo.api_client import Api
from local.platform import Platform
from tests.support.platform.lab import until

pytestmark = [pytest.mark.platform, pytest.mark.engine]

HELLO: Mapping[str, object] = {"name": "hello", "image": "fleetgrass/hello:v1"}
GARBAGE = b"\xff\xfe not even JSON \x00"


def api(platform: Platform, role: str | None) -> Api:
    return Api(platform.api_url, platform.token(role) if role else None)


def deployment(group: str = "line-3", **changes: object) -> Mapping[str, object]:
    return {"target": {"group": group}, "applications": [{**HELLO, **changes}]}


def test_no_token_is_401_and_a_token_that_is_refused_is_403(platform: Platform) -> None:
    assert api(platform, None).get("/devices")[0] == 401
    assert Api(platform.api_url, "not-a-token").get("/devices")[0] == 403
    expired = Api(platform.api_url, platform.token("Fleet.Reader", exp=1_000_000_000))
    assert expired.get("/devices")[0] == 403
    elsewhere = Api(platform.api_url, platform.token("Fleet.Admin", aud="api://somebody-else"))
    assert elsewhere.get("/devices")[0] == 403


def test_a_role_that_never_reaches_the_route_is_403(platform: Platform) -> None:
    assert api(platform, "Fleet.Reader").post("/devices/robot-1/reboot", {"reason": "x"})[0] == 403


def test_a_role_outside_its_group_is_403_and_names_the_group(platform: Platform) -> None:
    status, body = api(platform, "Fleet.Operator:line-4").post("/devices/robot-1/reboot", {"reason": "x"})

    assert (status, body["code"]) == (403, "group-not-allowed")
    assert "line-3" in body["detail"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/devices/nobody", "device-not-found"),
        ("/deployments/dep-01kanm5phz0123456789abcdef", "deployment-not-found"),
    ],
)
def test_what_does_not_exist_is_404(platform: Platform, path: str, code: str) -> None:
    status, body = api(platform, "Fleet.Reader").get(path)

    assert (status, body["code"]) == (404, code)


def test_a_deployment_to_an_unknown_group_is_404(platform: Platform) -> None:
    status, body = api(platform, "Fleet.Deployer").post("/deployments", deployment("line-99"))

    assert status == 404
    assert "line-99" in body["detail"]


def test_an_unknown_tag_is_422_and_named(platform: Platform) -> None:
    request = deployment(image="fleetgrass/hello:never-pushed")
    status, body = api(platform, "Fleet.Deployer").post("/deployments", request)

    assert status == 422
    assert "never-pushed" in body["detail"]


def test_an_unknown_field_is_400_and_named_by_its_path(platform: Platform) -> None:
    status, body = api(platform, "Fleet.Deployer").post("/deployments", deployment(imagee="typo"))

    assert status == 400
    assert "imagee" in str(body)


def test_nonsense_on_a_devices_topics_is_counted_by_the_cloud_and_changes_nothing(platform: Platform) -> None:
    reader = api(platform, "Fleet.Reader")
    assert until(lambda: reader.get("/devices/robot-2")[1].get("state") == "online", 60)
    before = reader.get("/devices/robot-2")[1]
    by_function = {
        "record-report": [
            topics.report("robot-2"),
            topics.command_result("robot-2", "reboot"),
            topics.report("never-enrolled"),
        ],
        "record-connection": [topics.connection("robot-2")],
    }
    for topic in [topic for sent in by_function.values() for topic in sent]:
        publish(platform, topic, GARBAGE)

    for function, sent in by_function.items():
        assert until(lambda: malformed(platform, function) == Counter(sent), 60)  # noqa: B023 - used at once
        assert until(lambda: counted(platform, function) >= len(sent))  # noqa: B023
    after = reader.get("/devices/robot-2")[1]
    same = ("state", "boot_id", "enrolled_at", "agent_version", "group")
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
    assert dead_letters(platform) == 0


def test_nonsense_to_a_device_is_counted_by_the_device_and_changes_nothing(platform: Platform) -> None:
    reader = api(platform, "Fleet.Reader")
    assert until(lambda: reader.get("/devices/robot-2")[1].get("state") == "online", 60)
    before = reader.get("/devices/robot-2")[1]

    publish(platform, topics.command_request("robot-2", "reboot"), GARBAGE)
    publish(platform, topics.command_request("robot-2", "time"), b'{"nonce": 7}')

    def counted() -> bool:
        return bool(
            reader.get("/devices/robot-2")[1]["malformed_messages"] >= before["malformed_messages"] + 2
        )

    assert until(counted, 60)
    after = reader.get("/devices/robot-2")[1]
    assert (after["boot_id"], after["state"]) == (before["boot_id"], "online")


def test_rebooting_a_device_that_is_off_is_409_and_says_since_when(platform: Platform) -> None:
    device, operator = platform.devices["robot-1"], api(platform, "Fleet.Operator")
    device.turn_off()
    try:
        assert until(lambda: operator.get("/devices/robot-1")[1].get("state") == "offline", 60)

        status, body = operator.post("/devices/robot-1/reboot", {"reason": "x"})

        assert (status, body["code"]) == (409, "device-offline")
        assert body["since"]
    finally:
        device.turn_on()
    assert until(lambda: operator.get("/devices/robot-1")[1].get("state") == "online", 90)


def publish(platform: Platform, topic: str, payload: bytes) -> None:
    client(platform, "iot-data").publish(topic=topic, qos=1, payload=payload)


def logged(platform: Platform, function: str) -> list[str]:
    group = f"/aws/lambda/{STACK}-{function}"
    return [
        event["message"] for event in client(platform, "logs").filter_log_events(logGroupName=group)["events"]
    ]


def counted(platform: Platform, function: str) -> int:
    return sum('"malformed_messages":1' in line for line in logged(platform, function))


def malformed(platform: Platform, function: str) -> Counter[str]:
    """How often a function logged a malformed message of GARBAGE's size, by topic."""
    lines = [line for line in logged(platform, function) if f"size={len(GARBAGE)} " in line]
    return Counter(line.partition("topic=")[2].partition(" ")[0] for line in lines if "malformed" in line)


def dead_letters(platform: Platform) -> int:
    url = platform.outputs["DeadLetterQueueUrl"]
    found = client(platform, "sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(found["Attributes"]["ApproximateNumberOfMessages"])


def client(platform: Platform, service: str) -> Any:
    return boto3.client(service, **client_arguments(platform.endpoint_url, ROOT_KEY))  # type: ignore[call-overload]
