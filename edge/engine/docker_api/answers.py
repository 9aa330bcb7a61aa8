"""Docker Engine's answers and names, read into the port's values; reads JSON and text, nothing else."""

import re
from collections.abc import Mapping
from typing import Any, cast

from edge.ports.engine import Container, Health, PortBinding, State, Usage, Volume

_HEALTH = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)$")
_EXIT_CODE = re.compile(r"^Exited \((\d+)\)")


def container(raw: Mapping[str, Any]) -> Container:
    """Return a container as one entry of ``GET /containers/json`` shows it."""
    health = _HEALTH.search(raw.get("Status") or "")
    ended = _EXIT_CODE.match(raw.get("Status") or "")
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        id=raw["Id"],
        name=min(raw.get("Names") or [""], key=len).removeprefix("/"),
        state=cast("State", raw["State"]),
        labels=raw.get("Labels") or {},
        health=cast("Health", health[1]) if health else "none",
        address="127.0.0.1"
        if "host" in networks
        else next((network["IPAddress"] for network in networks.values() if network.get("IPAddress")), None),
        ports=tuple(
            PortBinding(port["PrivatePort"], port["PublicPort"], port["Type"], port.get("IP") or "0.0.0.0")
            for port in raw.get("Ports") or []
            if "PublicPort" in port and ":" not in port.get("IP", "")
        ),
        exit_code=int(ended[1]) if ended else None,
    )


def usage(raw: Mapping[str, Any]) -> Usage | None:
    """Return what ``GET /containers/{id}/stats`` says; None for a container that does not run."""
    memory = raw.get("memory_stats") or {}
    cpu = (raw.get("cpu_stats") or {}).get("cpu_usage") or {}
    if "usage" not in memory or "total_usage" not in cpu:
        return None
    details = memory.get("stats") or {}
    # As `docker stats` has it: without the page cache that the kernel gives back first.
    cached = details.get("total_inactive_file", details.get("inactive_file", 0))  # cgroup v1, v2
    return Usage(cpu_s=cpu["total_usage"] / 1e9, memory_bytes=max(0, memory["usage"] - cached))


def split_reference(reference: str) -> tuple[str, str]:
    """Return the repository, and the digest or tag (``latest`` where there is neither)."""
    repository, at, digest = reference.partition("@")
    if at:
        return repository, digest
    repository, colon, tag = reference.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (reference, "latest")


def volume(raw: Mapping[str, Any]) -> Volume:
    """Return a volume as the list (``GET /volumes``) shows it."""
    return Volume(raw["Name"], raw.get("Labels") or {})
