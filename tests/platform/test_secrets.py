"""Secrets on the whole platform: what a device's role reaches, and how a value gets into a container."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from docker import APIClient

from edge.containers.model.observed import current_name
from local.aws.account import ROOT_KEY, Key, client_arguments
from local.demo.api_client import Api
from local.platform import DEVICES, Platform
from tests.support.platform.lab import until

pytestmark = [pytest.mark.platform, pytest.mark.engine]
THEIRS, OURS = "payroll/db", "fleetgrass/line/db"


def client(platform: Platform, service: str, key: Key = ROOT_KEY) -> Any:
    return boto3.client(service, **client_arguments(platform.endpoint_url, key))  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def vault(platform: Platform) -> None:
    """Values under our prefix and beside it, in both places."""
    manager, parameters = client(platform, "secretsmanager"), client(platform, "ssm")
    for name in (THEIRS, OURS):
        manager.create_secret(Name=name, SecretString=f"secret of {name}")
        parameters.put_parameter(Name=f"/{name}", Value=f"parameter of {name}", Type="SecureString")


def session(platform: Platform, service: str) -> Any:
    """Return a client with what the token exchange gives a device."""
    sts = client(platform, "sts", platform.keys["core"])
    given = sts.assume_role(RoleArn=platform.outputs["TokenExchangeRole"], RoleSessionName="robot-1")
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=platform.endpoint_url,
        region_name=platform.region,
        aws_access_key_id=given["Credentials"]["AccessKeyId"],
        aws_secret_access_key=given["Credentials"]["SecretAccessKey"],
        aws_session_token=given["Credentials"]["SessionToken"],
    )


@pytest.mark.usefixtures("vault")
def test_a_devices_session_reads_the_secrets_under_our_prefix_and_no_other(platform: Platform) -> None:
    manager, parameters = session(platform, "secretsmanager"), session(platform, "ssm")

    assert manager.get_secret_value(SecretId=OURS)["SecretString"] == f"secret of {OURS}"
    found = parameters.get_parameter(Name=f"/{OURS}", WithDecryption=True)
    assert found["Parameter"]["Value"] == f"parameter of {OURS}"
    with pytest.raises(ClientError, match="AccessDenied"):
        manager.get_secret_value(SecretId=THEIRS)
    with pytest.raises(ClientError, match="AccessDenied"):
        parameters.get_parameter(Name=f"/{THEIRS}", WithDecryption=True)
    with pytest.raises(ClientError, match="AccessDenied"):
        manager.list_secrets()


@pytest.fixture
def docker(platform: Platform) -> Iterator[APIClient]:
    client = APIClient(base_url=platform.docker_host, version="auto")
    yield client
    client.close()


@pytest.mark.usefixtures("vault")
def test_a_deployed_secret_is_in_the_containers_environment_and_in_no_answer_of_the_api(
    platform: Platform, docker: APIClient
) -> None:
    api = Api(platform.api_url, platform.token("Fleet.Deployer"))
    robot = min(platform.devices)
    assert until(lambda: api.get(f"/devices/{robot}")[1].get("state") == "online", 100)

    status, created = api.post(
        "/deployments",
        {
            "target": {"group": DEVICES[robot]},
            "applications": [
                {
                    "name": "vault",
                    "image": "fleetgrass/hello:v1",
                    "secrets": [
                        {"name": "DB", "source": f"secretsmanager:{OURS}"},
                        {"name": "KEY", "source": f"ssm:/{OURS}"},
                    ],
                }
            ],
        },
    )
    assert status == 201, created

    def running() -> bool:
        applications = api.get(f"/devices/{robot}")[1].get("applications") or []
        return [each["state"] for each in applications if each["name"] == "vault"] == ["RUNNING"]

    assert until(running, 100), api.get(f"/devices/{robot}")[1]
    shown = docker.inspect_container(current_name(robot, "vault"))
    assert {f"DB=secret of {OURS}", f"KEY=parameter of {OURS}"} <= set(shown["Config"]["Env"])
    told = [api.get(f"/devices/{robot}"), api.get(f"/deployments/{created['id']}")]
    assert f"of {OURS}" not in str(told)
