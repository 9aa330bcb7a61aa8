"""The platform itself: who may do what on it, and that every role's permissions are needed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from cloud.http.openapi_document import DOCUMENT
from local.aws.account import ROOT_KEY, Key, client_arguments
from local.aws.iam_users import STACK
from local.demo.api_client import Api
from local.platform import CONSOLE_ORIGIN, Platform
from tests.support.platform.lab import until

pytestmark = [pytest.mark.platform, pytest.mark.engine]


def client(platform: Platform, service: str, key: Key = ROOT_KEY) -> Any:
    return boto3.client(service, **client_arguments(platform.endpoint_url, key))  # type: ignore[call-overload]


@contextmanager
def without(platform: Platform, function: str, action: str) -> Iterator[None]:
    """Take ``action`` from the role of one Lambda, and give it back in the end."""
    role = client(platform, "lambda").get_function(FunctionName=f"{STACK}-{function}")["Configuration"][
        "Role"
    ]
    name, iam = role.rsplit("/", 1)[1], client(platform, "iam")
    [policy] = iam.list_role_policies(RoleName=name)["PolicyNames"]
    document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    less = json.loads(json.dumps(document))
    for statement in less["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        statement["Action"] = [each for each in actions if each != action]
    less["Statement"] = [statement for statement in less["Statement"] if statement["Action"]]
    assert less != document, f"the role of {function} has no {action} to take away"
    iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(less))
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))


def test_both_devices_come_online(platform: Platform) -> None:
    reader = Api(platform.api_url, platform.token("Fleet.Reader"))

    def online() -> bool:
        return _lists(reader) and all(
            reader.get(f"/devices/{robot}")[1].get("state") == "online" for robot in platform.devices
        )

    assert until(online, 100)


def test_an_operation_fails_without_its_permission_and_works_with_it_again(platform: Platform) -> None:
    reader = Api(platform.api_url, platform.token("Fleet.Reader"))
    assert until(lambda: _lists(reader), 60)  # cold starts on a busy machine take their time

    with without(platform, "list-devices", "dynamodb:Query"):
        status, body = reader.get("/devices")

        assert status == 500
        assert "AccessDenied" not in json.dumps(body)
    assert reader.get("/devices")[0] == 200


def _lists(reader: Api) -> bool:
    try:
        return reader.get("/devices")[0] == 200
    except requests.Timeout:
        return False


@pytest.mark.parametrize(
    ("job", "service", "operation", "arguments"),
    [
        ("publisher", "iam", "list_users", {}),
        (
            "publisher",
            "s3",
            "get_object",
            {"Bucket": "fleetgrass-eu-west-1-000000000000", "Key": "desired/x"},
        ),
        ("enroller", "iot", "delete_thing", {"thingName": "robot-1"}),
        ("enroller", "greengrassv2", "list_core_devices", {}),
        ("control-plane", "iot", "create_thing", {"thingName": "intruder"}),
        ("core", "s3", "list_buckets", {}),
    ],
)
def test_nobody_works_with_an_all_powerful_key(
    platform: Platform, job: str, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(client(platform, service, platform.keys[job]), operation)(**arguments)

    assert refused.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")


def test_a_device_s_session_reads_documents_and_no_more(platform: Platform) -> None:
    sts = client(platform, "sts", platform.keys["core"])
    session = sts.assume_role(RoleArn=platform.outputs["TokenExchangeRole"], RoleSessionName="robot-1")
    given = session["Credentials"]
    s3 = boto3.client(
        "s3",
        endpoint_url=platform.endpoint_url,
        region_name=platform.region,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )

    for call, arguments in (
        (s3.list_objects_v2, {"Bucket": platform.outputs["Bucket"]}),
        (s3.put_object, {"Bucket": platform.outputs["Bucket"], "Key": "desired/x", "Body": b""}),
        (s3.get_object, {"Bucket": platform.outputs["Bucket"], "Key": "lambda.zip"}),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(**arguments)


def test_the_registry_that_devices_pull_through_wants_ecr_s_token(platform: Platform) -> None:
    url = f"http://{platform.registry_address}/v2/fleetgrass/hello/manifests/v1"
    ecr = client(platform, "ecr")
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]

    assert requests.get(url, timeout=5).status_code == 401
    answer = requests.get(url, headers={"Authorization": f"Basic {token}"}, timeout=5)

    [image] = ecr.describe_images(repositoryName="fleetgrass/hello", imageIds=[{"imageTag": "v1"}])[
        "imageDetails"
    ]
    assert (answer.status_code, answer.headers["Docker-Content-Digest"]) == (200, image["imageDigest"])


def test_the_api_describes_itself_to_everybody_as_it_is_committed(platform: Platform) -> None:
    url = f"{platform.api_url}/openapi.json"

    answer = requests.get(url, timeout=30)
    again = requests.get(url, headers={"If-None-Match": answer.headers["etag"]}, timeout=30)

    assert (answer.status_code, answer.content) == (200, DOCUMENT.read_bytes())
    assert (again.status_code, again.content) == (304, b"")


def cors_headers(answer: requests.Response) -> dict[str, str]:
    """What ``answer`` lets a page of another origin do, by the lower-case rest of the header's name."""
    prefix = "access-control-"
    return {n.lower()[len(prefix) :]: v for n, v in answer.headers.items() if n.lower().startswith(prefix)}


def preflight(platform: Platform, origin: str) -> requests.Response:
    """What a browser asks, without a token, before a page of ``origin`` may reboot a device."""
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    return requests.options(f"{platform.api_url}/devices/robot-1/reboot", headers=asked, timeout=30)


def test_a_page_of_the_consoles_origin_may_call_the_api(platform: Platform) -> None:
    before = preflight(platform, CONSOLE_ORIGIN)
    answer = requests.get(
        f"{platform.api_url}/devices/nobody",
        headers={"Origin": CONSOLE_ORIGIN, "Authorization": f"Bearer {platform.token('Fleet.Reader')}"},
        timeout=30,
    )

    exposed = "etag,link,location,retry-after,x-request-id,apigw-requestid"
    assert (before.status_code, answer.status_code) == (204, 404)
    assert cors_headers(before) == {
        "allow-origin": CONSOLE_ORIGIN,
        "allow-methods": "GET,POST,PUT,DELETE",
        "allow-headers": "authorization,content-type,idempotency-key,if-match,if-none-match",
        "expose-headers": exposed,
        "max-age": "600",
    }
    assert cors_headers(answer) == {"allow-origin": CONSOLE_ORIGIN, "expose-headers": exposed}
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


@pytest.mark.parametrize("origin", ["https://evil.test", f"{CONSOLE_ORIGIN}.evil.test", "null"])
def test_a_page_of_another_origin_may_not(platform: Platform, origin: str) -> None:
    answer = requests.get(f"{platform.api_url}/health", headers={"Origin": origin}, timeout=30)

    assert answer.status_code == 200
    assert cors_headers(answer) == cors_headers(preflight(platform, origin)) == {}


def test_everything_listens_on_loopback_only(platform: Platform) -> None:
    ours = {inode for pid in platform.pids().values() for inode in _sockets_of(pid)}

    listening = [row for row in _tcp_rows() if row[3] == "0A" and row[9] in ours]

    assert len(listening) >= 4
    assert [row[1] for row in listening if not row[1].startswith("0100007F:")] == []


def _tcp_rows() -> list[list[str]]:
    tables = (Path(f"/proc/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6"))
    return [line.split() for table in tables for line in table.splitlines()[1:]]


def _sockets_of(pid: int) -> set[str]:
    links = (os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink())
    return {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:[")}
