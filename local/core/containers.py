"""The device's containers when its power goes and comes: the one adapter of the docker SDK here."""

import logging
from collections.abc import Sequence

import docker
import requests
from docker.errors import DockerException

log = logging.getLogger(__name__)

_LABEL = "io.fleetgrass.thing"
_RESTARTED_AT_BOOT = frozenset({"always", "unless-stopped"})


class Containers:
    """The containers that carry one thing's label on an engine that others share."""

    def __init__(self, docker_host: str, thing: str) -> None:
        self._docker_host = docker_host
        self._filter: dict[str, str | list[str] | bool] = {"label": f"{_LABEL}={thing}"}

    def cut(self) -> Sequence[str]:
        """Kill what runs; return the ids that an engine would start again at boot."""
        restarted: list[str] = []
        try:
            client = docker.DockerClient(base_url=self._docker_host, timeout=20)
            try:
                for container in client.containers.list(filters=self._filter):
                    policy = container.attrs["HostConfig"]["RestartPolicy"].get("Name", "")
                    if policy in _RESTARTED_AT_BOOT:
                        restarted.append(str(container.id))
                    container.kill()
            finally:
                client.close()
        except (DockerException, requests.RequestException) as error:
            log.warning("containers not killed: error=%s", error)
        return restarted

    def restore(self, ids: Sequence[str]) -> None:
        """Start those again."""
        try:
            client = docker.DockerClient(base_url=self._docker_host, timeout=20)
            try:
                for container_id in ids:
                    client.containers.get(container_id).start()
            finally:
                client.close()
        except (DockerException, requests.RequestException) as error:
            log.warning("containers not started: error=%s", error)
