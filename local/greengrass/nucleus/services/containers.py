"""The device's containers at power off and on: the one adapter of the docker SDK here."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import docker
import requests
from docker.errors import DockerException

log = logging.getLogger(__name__)

_LABEL = "io.fleetgrass.thing"
_RUNS = frozenset({"running", "paused", "restarting"})


class Containers:
    """The containers that carry one thing's label on an engine that others share."""

    def __init__(self, docker_host: str, thing: str) -> None:
        self._docker_host = docker_host
        self._filter: dict[str, str | list[str] | bool] = {"label": f"{_LABEL}={thing}"}

    def cut(self) -> Sequence[str]:
        """Kill what runs; return the ids that an engine would start again at boot."""
        restarted: list[str] = []
        with _forgiving("reach", self._docker_host), self._connect() as engine:
            for container in engine.containers.list(all=True, filters=self._filter):
                runs = container.status in _RUNS
                policy = container.attrs["HostConfig"]["RestartPolicy"].get("Name")
                # One that somebody stopped is started at boot with "always" only.
                if (policy == "unless-stopped" and runs) or (
                    policy == "always" and container.status != "created"
                ):
                    restarted.append(str(container.id))
                if runs:
                    with _forgiving("kill", str(container.id)):
                        container.kill()
        return restarted

    def restore(self, ids: Sequence[str]) -> None:
        """Start those again."""
        with _forgiving("reach", self._docker_host), self._connect() as engine:
            for container_id in ids:
                with _forgiving("start", container_id):
                    engine.containers.get(container_id).start()

    def _connect(self) -> "closing[docker.DockerClient]":
        return closing(docker.DockerClient(base_url=self._docker_host, timeout=20))


@contextmanager
def _forgiving(what: str, which: str) -> Iterator[None]:
    """A container that went by itself, or no engine at all, is no reason for a machine not to lose power."""
    try:
        yield
    except (DockerException, requests.RequestException) as error:
        log.warning("power cannot %s: which=%s error=%s", what, which, error)
