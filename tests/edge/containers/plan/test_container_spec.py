"""What an application becomes: the container's specification, field by field."""

from pathlib import Path
from typing import Any

import pytest

from contract.applications import Application
from edge.containers.model.observed import current_name
from edge.containers.plan.container_spec import Given, container_spec
from edge.engine.docker_api import creation
from edge.ports.engine import LABEL_APPLICATION, LABEL_SPEC, LABEL_THING, ContainerSpec
from tests.support.edge.containers import THING, an_application

HERE = Path("/greengrass/work")


def spec(application: Application) -> ContainerSpec:
    return container_spec(
        application,
        spec=application.digest(),
        thing=THING,
        reference="mirror/image",
        publish_address="127.0.0.1",
        folder=HERE,
        given=Given({}, Path("/run/fleetgrass/x")),
    )


def body(**fields: Any) -> dict[str, Any]:
    return creation.body(spec(an_application(**fields)))


def test_what_an_application_does_not_say_is_left_to_the_image_and_the_engine() -> None:
    made = body()

    assert made.keys() == {"Image", "Labels", "Env", "ExposedPorts", "StopTimeout", "HostConfig"}
    host = made["HostConfig"]
    assert not {"NetworkMode", "Memory", "NanoCpus"} & host.keys()
    assert (host["Privileged"], host["ReadonlyRootfs"]) == (False, False)
    assert host["Mounts"] == host["Devices"] == host["CapAdd"] == host["CapDrop"] == []


@pytest.mark.parametrize(
    ("fields", "where", "expected"),
    [
        ({"entrypoint": ["/bin/sh", "-c"]}, ["Entrypoint"], ["/bin/sh", "-c"]),
        ({"command": ["run"]}, ["Cmd"], ["run"]),
        ({"user": "app:app"}, ["User"], "app:app"),
        ({"cpus": 0.5}, ["HostConfig", "NanoCpus"], 500_000_000),
        ({"memory_mib": 64}, ["HostConfig", "Memory"], 64 << 20),
        ({"restart": "on-failure"}, ["HostConfig", "RestartPolicy"], {"Name": "on-failure"}),
        ({"network_mode": "host"}, ["HostConfig", "NetworkMode"], "host"),
        ({"privileged": True}, ["HostConfig", "Privileged"], True),
        ({"read_only_root": True}, ["HostConfig", "ReadonlyRootfs"], True),
        ({"cap_add": ["NET_ADMIN"]}, ["HostConfig", "CapAdd"], ["NET_ADMIN"]),
        ({"cap_drop": ["ALL"]}, ["HostConfig", "CapDrop"], ["ALL"]),
        (
            {"devices": [{"source": "/dev/ttyUSB0", "permissions": "rw"}]},
            ["HostConfig", "Devices"],
            [{"PathOnHost": "/dev/ttyUSB0", "PathInContainer": "/dev/ttyUSB0", "CgroupPermissions": "rw"}],
        ),
        (
            {"binds": [{"source": "/etc/plant", "path": "/plant", "read_only": True}]},
            ["HostConfig", "Mounts"],
            [{"Type": "bind", "Source": "/etc/plant", "Target": "/plant", "ReadOnly": True}],
        ),
        (
            {"log_rotation": {"max_size_mib": 1, "max_files": 2}},
            ["HostConfig", "LogConfig"],
            {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
        ),
        (
            {"health_check": {"kind": "command", "command": ["/ok"], "interval_s": 0.5, "timeout_s": 1}},
            ["Healthcheck"],
            {"Test": ["CMD", "/ok"], "Interval": 500_000_000, "Timeout": 1_000_000_000, "Retries": 3},
        ),
    ],
)
def test_everything_an_application_says_reaches_the_engine(
    fields: dict[str, Any], where: list[str], expected: object
) -> None:
    made: Any = body(**fields)
    for key in where:
        made = made[key]

    assert made == expected


def test_a_volume_belongs_to_its_application_and_tells_whose_it_is() -> None:
    [mount] = spec(an_application(volumes=[{"name": "data", "path": "/data"}])).mounts

    assert (mount.kind, mount.source) == ("volume", f"{current_name(THING, 'web')}.data")
    assert mount.labels == {LABEL_THING: THING, LABEL_APPLICATION: "web"}


def test_two_applications_never_share_a_volume_by_accident() -> None:
    a = an_application("a", volumes=[{"name": "b-c", "path": "/data"}])
    b = an_application("a-b", volumes=[{"name": "c", "path": "/data"}])

    assert spec(a).mounts[0].source != spec(b).mounts[0].source


def test_an_application_that_may_lock_gets_a_folder_of_its_own() -> None:
    [mount] = spec(an_application(update_lock=True)).mounts

    assert (mount.kind, mount.source, mount.path) == ("bind", "/greengrass/work/locks/web", "/run/fleetgrass")
    assert not mount.read_only


def test_an_applications_labels_are_beside_ours_and_never_in_their_place() -> None:
    # As a document of an agent from before the check of reserved labels could say it.
    forged = an_application(labels={"team": "plant"}).model_copy(
        update={"labels": {"team": "plant", LABEL_THING: "another", LABEL_SPEC: ""}}
    )
    labels = spec(forged).labels

    assert labels["team"] == "plant"
    assert labels[LABEL_THING] == THING
    assert labels[LABEL_SPEC] == forged.digest()
