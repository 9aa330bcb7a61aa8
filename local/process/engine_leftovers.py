"""Leftovers of our devices on an engine: their containers, and the images of our registry."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import docker
from docker.errors import APIError

from local.process.docker_socket import answers

THING_LABEL = "io.fleetgrass.thing"


def remove(docker_host: str, things: Collection[str], registry: str) -> None:
    """Remove the containers of ``things`` and the images pulled through ``registry``, and nothing else.

    An engine that does not answer any more has nothing to clean.
    """
    with _client(docker_host) as client:
        if client is None:
            return
        for container in client.containers(all=True, filters={"label": THING_LABEL}):
            if container["Labels"][THING_LABEL] in things:
                _let_go(client.remove_container, container["Id"], force=True, v=True)
        for image in client.images(all=False):
            names = [*(image.get("RepoTags") or []), *(image.get("RepoDigests") or [])]
            if any(name.startswith(f"{registry}/") for name in names):
                _let_go(client.remove_image, image["Id"], force=True)


def find(docker_host: str, things: Collection[str], registry: str) -> list[str]:
    """Return the names of containers and images that ``remove`` would remove."""
    with _client(docker_host) as client:
        if client is None:
            return []
        containers = client.containers(all=True, filters={"label": THING_LABEL})
        names = [c["Names"][0].lstrip("/") for c in containers if c["Labels"][THING_LABEL] in things]
        images = (name for image in client.images() for name in image.get("RepoDigests") or [])
        return names + [name for name in images if name.startswith(f"{registry}/")]


def _let_go(remove: Callable[..., object], name: str, **options: bool) -> None:
    try:
        remove(name, **options)
    except APIError as error:
        if error.status_code not in (404, 409):  # gone or going already, or somebody's container uses it
            raise


@contextmanager
def _client(docker_host: str) -> Iterator[docker.APIClient | None]:
    if not answers(docker_host):  # asked first, because the SDK leaks a socket when it cannot connect
        yield None
        return
    client = docker.APIClient(base_url=docker_host, timeout=30)
    try:
        yield client
    finally:
        client.close()
