"""Every command of the API, from its route to the device and back, the same on both nuclei."""

import hashlib
import io
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from docker import APIClient

from edge.containers.model.observed import current_name
from local.platform import Dialect
from tests.support.platform.lab import until
from tests.support.platform.machines import Machine

pytestmark = pytest.mark.platform

HEALTH: Mapping[str, object] = {
    "kind": "http",
    "port": 8080,
    "path": "/health",
    "interval_s": 0.5,
    "timeout_s": 1,
}


@dataclass(frozen=True)
class Secret:
    """A secret that the applications have, and its first value."""

    name: str
    value: str


@pytest.fixture(scope="module")
def secret(robots: Mapping[Dialect, Machine]) -> Secret:
    """One application that runs, with a secret, and one that never becomes healthy, on every device."""
    robot = robots["classic"]
    secret = Secret(f"fleetgrass/{robot.lab.name()}", secrets.token_hex(8))
    robot.lab.client("secretsmanager").create_secret(Name=secret.name, SecretString=secret.value)
    common = {"health_check": HEALTH, "healthy_window_s": 5, "stop_grace_s": 1}
    hello = {
        "name": "hello",
        "image": "fleetgrass/hello:v1",
        "secrets": [{"name": "KEY", "source": f"secretsmanager:{secret.name}"}],
    }
    broken = {"name": "broken", "image": "fleetgrass/hello:failing"}
    for group in sorted({each.group for each in robots.values()}):
        request = {"target": {"group": group}, "applications": [hello | common, broken | common]}
        status, body = robot.api("Fleet.Deployer").post("/deployments", request)
        assert (status, body.get("warnings")) == (201, []), body
    return secret


@pytest.fixture
def ready(robot: Machine, secret: Secret) -> Machine:
    assert until(lambda: states(robot) == {"hello": "RUNNING", "broken": "FAILED"}, 120), robot.shown()
    return robot


@pytest.fixture
def docker(robot: Machine) -> Iterator[APIClient]:
    client = APIClient(base_url=robot.platform.docker_host, version="auto")
    yield client
    client.close()


def states(robot: Machine) -> dict[str, str]:
    return {each["name"]: each["state"] for each in robot.shown().get("applications") or []}


def container(docker: APIClient, robot: Machine) -> Mapping[str, Any]:
    found: Mapping[str, Any] = docker.inspect_container(current_name(robot.thing, "hello"))
    return found


def test_an_application_is_restarted_in_its_container(ready: Machine, docker: APIClient) -> None:
    before = container(docker, ready)

    done = ready.ends(ready.order("applications/hello/restart"))

    after = container(docker, ready)
    assert (done["state"], done["inferred"]) == ("SUCCEEDED", False)
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] > before["State"]["StartedAt"]


def test_an_application_that_failed_is_tried_again_and_one_that_runs_is_not(ready: Machine) -> None:
    assert ready.ends(ready.order("applications/hello/retry"))["state"] == "REJECTED"
    with ready.overheard() as heard:
        assert ready.ends(ready.order("applications/broken/retry"))["state"] == "SUCCEEDED"

        def said() -> list[str]:
            return [
                application["state"]
                for report in heard.reports()
                for application in report.get("applications", [])
                if application["name"] == "broken"
            ]

        assert until(lambda: "STARTING" in said() and said()[-1] == "FAILED", 60), said()


def test_a_report_comes_when_it_is_asked_for(ready: Machine) -> None:
    with ready.overheard() as heard:
        assert ready.ends(ready.order("report"))["state"] == "SUCCEEDED"

        assert until(lambda: bool(heard.reports()))


def test_logs_come_as_lines_or_as_a_bundle_that_holds_no_secret(ready: Machine, secret: Secret) -> None:
    lines = ready.ends(ready.order("applications/hello/logs", bundle=False, lines=5))
    assert lines["state"] == "SUCCEEDED"
    assert len(lines["log_lines"]) <= 5

    done = ready.ends(ready.order("applications/hello/logs"))

    assert done["state"] == "SUCCEEDED", done
    packed = requests.get(done["bundle"]["url"], timeout=10).content
    assert done["bundle"]["sha256"] == hashlib.sha256(packed).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as bundle:
        files = {name: bundle.extractfile(name) for name in bundle.getnames()}
        texts = {name: file.read().decode() for name, file in files.items() if file is not None}
    assert any("hello" in name for name in texts), list(texts)
    assert any("command judged" in text for text in texts.values()), list(texts)
    assert secret.value not in str(texts)
    assert "url" not in ready.api("Fleet.Reader").get(f"{ready.path}/commands/{done['id']}")[1]["bundle"]


def test_a_secret_that_was_rotated_is_in_the_next_container(
    ready: Machine, secret: Secret, docker: APIClient
) -> None:
    before = container(docker, ready)
    value = secrets.token_hex(8)
    ready.lab.client("secretsmanager").put_secret_value(SecretId=secret.name, SecretString=value)

    assert ready.ends(ready.order("applications/hello/rotate-secrets"))["state"] == "SUCCEEDED"

    def now() -> Mapping[str, Any] | None:
        found = docker.containers(filters={"name": current_name(ready.thing, "hello")})
        return docker.inspect_container(found[0]["Id"]) if found else None

    assert until(lambda: (found := now()) is not None and f"KEY={value}" in found["Config"]["Env"], 60)
    assert container(docker, ready)["Id"] != before["Id"]
    assert until(lambda: states(ready)["hello"] == "RUNNING", 60)


def test_commands_are_listed_the_newest_first_page_by_page(ready: Machine) -> None:
    given = [ready.order("report") for _ in range(3)]
    ready.ends(given[-1])

    _, first = ready.operator.get(f"{ready.path}/commands?limit=2")
    _, second = ready.operator.get(f"{ready.path}/commands?limit=2&cursor={first['cursor']}")

    listed = [command["id"] for command in (*first["commands"], *second["commands"])]
    assert listed[:3] == given[::-1]
    assert listed == sorted(listed, reverse=True)
    _, none = ready.operator.get(f"{ready.path}/commands?kind=reboot&limit=100")
    assert {command["kind"] for command in none["commands"]} <= {"reboot"}
