"""The gate before Greengrass: nothing is forwarded but what a proven caller may ask for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from local.aws.account import Key, client_arguments
from local.process.http_server import LoopbackServer
from tests.support.platform.lab import Lab, allow

pytestmark = pytest.mark.platform
GROUP = "arn:aws:iot:eu-west-1:000000000000:thinggroup/line-3"


@dataclass
class ControlPlane:
    """What came through the gate: (method, path, who)."""

    heard: list[tuple[str, str, str | None]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackServer[ControlPlane]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.service.heard.append((self.command, self.path, self.headers.get("x-principal-arn")))
        body = json.dumps({"deploymentId": "d-1", "deployments": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST


@pytest.fixture
def control_plane(lab: Lab) -> Iterator[ControlPlane]:
    plane = ControlPlane()
    server = LoopbackServer(lab.control_plane_port, _Handler, plane)
    server.start()
    yield plane
    server.stop()


def caller(lab: Lab, *policies: dict[str, Any]) -> Key:
    """A new IAM user with these policies."""
    iam, name = lab.client("iam"), lab.name()
    iam.create_user(UserName=name)
    for number, policy in enumerate(policies):
        iam.put_user_policy(UserName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Key(key["AccessKeyId"], key["SecretAccessKey"])


def greengrass(lab: Lab, key: Key) -> Any:
    config = Config(retries={"max_attempts": 1})
    arguments = client_arguments(lab.aws.endpoint_url, key)
    return boto3.client("greengrassv2", config=config, **arguments)  # type: ignore[call-overload]


def refusal(call: Any, **arguments: Any) -> str:
    """The error code and message of a call that must fail."""
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    error = refused.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_who_may_list_is_let_through_under_their_own_name(lab: Lab, control_plane: ControlPlane) -> None:
    client = greengrass(lab, caller(lab, allow("greengrass:ListDeployments")))

    client.list_deployments(targetArn=GROUP)

    [(method, path, who)] = control_plane.heard
    assert (method, path.partition("?")[0]) == ("GET", "/greengrass/v2/deployments")
    assert who is not None
    assert who.startswith("arn:aws:iam::000000000000:user/lab")


def test_deploying_needs_greengrass_s_permission_and_iot_s_as_well(
    lab: Lab, control_plane: ControlPlane
) -> None:
    nobody = greengrass(lab, caller(lab))
    half = greengrass(lab, caller(lab, allow("greengrass:CreateDeployment")))
    whole = greengrass(lab, caller(lab, allow(["greengrass:CreateDeployment", "iot:*Job"])))

    assert "greengrass:CreateDeployment" in refusal(nobody.create_deployment, targetArn=GROUP)
    assert "iot:CreateJob" in refusal(half.create_deployment, targetArn=GROUP)
    assert control_plane.heard == []
    assert whole.create_deployment(targetArn=GROUP)["deploymentId"] == "d-1"


def test_a_publisher_of_one_component_cannot_publish_another(lab: Lab, control_plane: ControlPlane) -> None:
    arn = "arn:aws:greengrass:eu-west-1:000000000000:components:io.fleetgrass.Agent"
    client = greengrass(lab, caller(lab, allow("greengrass:CreateComponentVersion", arn)))

    refused = refusal(client.create_component_version, inlineRecipe=b'{"ComponentName": "other"}')
    client.create_component_version(inlineRecipe=b'ComponentName: "io.fleetgrass.Agent"')

    assert refused.startswith("AccessDeniedException")
    assert len(control_plane.heard) == 1


def test_a_wrong_secret_proves_nothing(lab: Lab, control_plane: ControlPlane) -> None:
    key = caller(lab, allow("greengrass:*"))
    forged = greengrass(lab, Key(key.access_key_id, "guess"))

    assert refusal(forged.list_deployments).startswith("SignatureDoesNotMatch")
    assert control_plane.heard == []


def test_without_a_signature_only_a_core_devices_own_paths_are_open(
    lab: Lab, control_plane: ControlPlane
) -> None:
    url = f"{lab.aws.endpoint_url}/greengrass/v2"

    closed = requests.get(f"{url}/deployments", timeout=5)
    opened = requests.post(f"{url}/resolveComponentCandidates", json={}, timeout=5)

    assert (closed.status_code, opened.status_code) == (403, 200)
    assert len(control_plane.heard) == 1


def test_a_control_plane_that_is_down_is_said_to_be(lab: Lab) -> None:
    client = greengrass(lab, caller(lab, allow("greengrass:ListDeployments")))

    assert "control plane does not answer" in refusal(client.list_deployments)
