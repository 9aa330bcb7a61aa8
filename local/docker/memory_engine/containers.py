"""A simulated container: what it was told, and what a real one would look like by now; asks no clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.docker.images import UNHEALTHY_LABEL
from local.docker.memory_engine.images import StoredImage
from local.docker.memory_engine.serving import EXIT, Page

_FIRST_RESTART_S = 0.1  # as dockerd waits before the first restart; each later wait is twice as long
_LONGEST_RESTART_S = 60.0
_KILLED = 137


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """The state of a container at one moment."""

    state: str  # created, running, restarting, exited
    health: str | None = None  # starting, healthy, unhealthy; None: no health check, or it does not run
    exit_code: int = 0
    restarts: int = 0
    since: float = 0.0  # of the latest start or end


@dataclass(slots=True)
class SimulatedContainer:
    """One entry of the engine. Times are seconds since the epoch, given by the caller."""

    id: str
    name: str
    image: StoredImage
    config: Mapping[str, Any]  # the body of its creation
    created_at: float
    address: str
    started_at: float | None = None
    ended_at: float | None = None
    ended_with: int = 0
    page: Page | None = None
    bound: list[dict[str, Any]] = field(default_factory=list)  # as the list's Ports

    @property
    def labels(self) -> dict[str, str]:
        return {**self.image.labels, **(self.config.get("Labels") or {})}

    @property
    def serves(self) -> bool:
        """Whether its process would keep running."""
        return EXIT not in self.image.labels

    def status_at(self, now: float) -> ContainerStatus:
        """Return how it looks at ``now``."""
        if self.started_at is None:
            return ContainerStatus("created", since=self.created_at)
        if self.ended_at is not None:
            return ContainerStatus("exited", exit_code=self.ended_with, since=self.ended_at)
        if self.serves:
            return ContainerStatus(
                "running", health=self._health(now - self.started_at), since=self.started_at
            )
        code = int(self.image.labels[EXIT])
        policy = ((self.config.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no"
        if policy == "no" or (policy == "on-failure" and code == 0):
            return ContainerStatus("exited", exit_code=code, since=self.started_at)
        restarts, at, wait = 0, self.started_at, _FIRST_RESTART_S
        while at + wait <= now:
            restarts, at, wait = restarts + 1, at + wait, min(wait * 2, _LONGEST_RESTART_S)
        return ContainerStatus("restarting", exit_code=code, restarts=restarts, since=at)

    def end(self, now: float, exit_code: int = _KILLED) -> None:
        """End its process, if it has one; the engine does not restart it."""
        if self.page is not None:
            self.page.end()
        self.page, self.bound = None, []
        if self.started_at is not None and self.ended_at is None:
            found = self.status_at(now)
            self.ended_at = now
            self.ended_with = found.exit_code if found.state == "exited" else exit_code

    def _health(self, running_s: float) -> str | None:
        check = self.config.get("Healthcheck") or self.image.config.get("Healthcheck") or {}
        if not check.get("Test") or check["Test"][0] == "NONE":
            return None
        interval_s = (check.get("Interval") or 30e9) / 1e9
        if running_s < interval_s:
            return "starting"
        if self.image.labels.get(UNHEALTHY_LABEL) != "true":
            return "healthy"
        return "unhealthy" if running_s >= interval_s * (check.get("Retries") or 3) else "starting"


def listed(container: SimulatedContainer, now: float) -> dict[str, Any]:
    """Return the container as ``GET /containers/json`` shows it (Docker Engine API v1.41)."""
    found = container.status_at(now)
    runs = found.state == "running"
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": container.config["Image"],
        "ImageID": container.image.id,
        "Command": "simulated",
        "Created": int(container.created_at),
        "Ports": container.bound,
        "Labels": container.labels,
        "State": found.state,
        "Status": _status(found, now),
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": container.address if runs else ""}}},
        "Mounts": [],
    }


def inspected(container: SimulatedContainer, now: float) -> dict[str, Any]:
    """Return the container as ``GET /containers/{id}/json`` shows it (Docker Engine API v1.41)."""
    found = container.status_at(now)
    runs = found.state == "running"
    ports: dict[str, list[dict[str, str]]] = {}
    for port in container.bound:
        binding = {"HostIp": port["IP"], "HostPort": str(port["PublicPort"])}
        ports.setdefault(f"{port['PrivatePort']}/{port['Type']}", []).append(binding)
    address = container.address if runs else ""
    never = "0001-01-01T00:00:00Z"
    started = _time(found.since if found.state in ("running", "restarting") else container.started_at)
    return {
        "Id": container.id,
        "Name": f"/{container.name}",
        "Created": _time(container.created_at),
        "Image": container.image.id,
        "RestartCount": found.restarts,
        "State": {
            "Status": found.state,
            "Running": found.state in ("running", "restarting"),
            "Paused": False,
            "Restarting": found.state == "restarting",
            "OOMKilled": False,
            "Dead": False,
            "Pid": 0,
            "ExitCode": found.exit_code,
            "Error": "",
            "StartedAt": started or never,
            "FinishedAt": _time(container.ended_at) or never,
            **({"Health": {"Status": found.health, "FailingStreak": 0, "Log": []}} if found.health else {}),
        },
        "Config": {"Tty": False, **container.image.config, **container.config, "Labels": container.labels},
        "HostConfig": container.config.get("HostConfig") or {},
        "NetworkSettings": {
            "IPAddress": address,
            "Ports": ports,
            "Networks": {"bridge": {"IPAddress": address}},
        },
        "Mounts": [],
    }


def _status(found: ContainerStatus, now: float) -> str:
    passed = f"{max(0, int(now - found.since))} seconds"
    match found.state:
        case "created":
            return "Created"
        case "exited":
            return f"Exited ({found.exit_code}) {passed} ago"
        case "restarting":
            return f"Restarting ({found.exit_code}) {passed} ago"
        case _:
            shown = {"starting": " (health: starting)", None: ""}.get(found.health, f" ({found.health})")
            return f"Up {passed}{shown}"


def _time(seconds: float | None) -> str | None:
    return (
        None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    )
