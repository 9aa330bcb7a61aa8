"""A power cycle as the containers of a real engine see it."""

import io
import os
import secrets
import tarfile
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from local.greengrass.nucleus.services.containers import Containers

pytestmark = pytest.mark.engine
LABEL = "io.fleetgrass.thing"
DOCKER_HOST = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=DOCKER_HOST)
    yield client
    client.close()


@pytest.fixture
def image(engine: docker.DockerClient) -> Iterator[str]:
    """An image whose only program sleeps: a static busybox, without any hub."""
    name = f"core-test-{secrets.token_hex(4)}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add("/bin/busybox", "bin/busybox")
    engine.api.import_image_from_data(buffer.getvalue(), repository=name)
    yield name
    engine.images.remove(name, force=True)


@pytest.fixture
def thing(engine: docker.DockerClient) -> Iterator[str]:
    name = f"thing-{secrets.token_hex(4)}"
    yield name
    for container in engine.containers.list(all=True, filters={"label": "io.fleetgrass.core-test=" + name}):
        container.remove(force=True)


def a_container(
    engine: docker.DockerClient, image: str, thing: str, owner: str, *, restart: str
) -> Container:
    policy: Any = {"Name": restart, "MaximumRetryCount": 0}  # the stubs know no "no" nor "unless-stopped"
    return engine.containers.run(
        image,
        ["/bin/busybox", "sleep", "600"],
        detach=True,
        init=True,
        labels={LABEL: owner, "io.fleetgrass.core-test": thing},
        restart_policy=policy,
    )


def test_power_takes_this_things_containers_and_brings_back_what_an_engine_would(
    engine: docker.DockerClient, image: str, thing: str
) -> None:
    kept = a_container(engine, image, thing, thing, restart="unless-stopped")
    lost = a_container(engine, image, thing, thing, restart="no")
    stopped = a_container(engine, image, thing, thing, restart="unless-stopped")
    woken = a_container(engine, image, thing, thing, restart="always")
    for container in (stopped, woken):
        container.stop(timeout=1)  # as the agent does before a reboot
    foreign = a_container(engine, image, thing, "another-thing", restart="always")
    containers = Containers(DOCKER_HOST, thing)

    def states() -> list[str]:
        found = (kept, lost, stopped, woken, foreign)
        for container in found:
            container.reload()
        return [container.status for container in found]

    ids = containers.cut()
    assert states() == ["exited"] * 4 + ["running"]

    containers.restore(ids)
    assert states() == ["running", "exited", "exited", "running", "running"]
