"""The request that creates a container (Docker's API v1.41, ContainerCreate). Pure."""

from typing import Any

from edge.ports.engine import ContainerSpec, Mount

_NS = 1_000_000_000


def body(spec: ContainerSpec) -> dict[str, Any]:
    """Return the body of ``POST /containers/create``; what is left out is the image's or the engine's."""
    configuration: dict[str, Any] = {
        "Image": spec.image,
        "Labels": dict(spec.labels),
        "Env": [f"{key}={value}" for key, value in spec.env.items()],
        "ExposedPorts": {f"{port.container_port}/{port.protocol}": {} for port in spec.ports},
        "StopTimeout": spec.stop_grace_s,
        "HostConfig": _host(spec),
    }
    if spec.command is not None:
        configuration["Cmd"] = list(spec.command)
    if spec.entrypoint is not None:
        configuration["Entrypoint"] = list(spec.entrypoint)
    if spec.user is not None:
        configuration["User"] = spec.user
    if spec.check is not None:
        configuration["Healthcheck"] = {
            "Test": ["CMD", *spec.check.command],
            "Interval": round(spec.check.interval_s * _NS),
            "Timeout": round(spec.check.timeout_s * _NS),
            "Retries": spec.check.retries,
        }
    return configuration


def _host(spec: ContainerSpec) -> dict[str, Any]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in spec.ports:
        binding = {"HostIp": port.address, "HostPort": "" if port.host_port is None else str(port.host_port)}
        bindings.setdefault(f"{port.container_port}/{port.protocol}", []).append(binding)
    host: dict[str, Any] = {
        "PortBindings": bindings,
        "RestartPolicy": {"Name": spec.restart},
        # An image whose process ignores SIGTERM as process 1 would cost its whole grace at each stop.
        "Init": True,
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": f"{spec.log_max_size_mib}m", "max-file": str(spec.log_max_files)},
        },
        "Mounts": [_mount(mount) for mount in spec.mounts],
        "Devices": [
            {
                "PathOnHost": device.source,
                "PathInContainer": device.path,
                "CgroupPermissions": device.permissions,
            }
            for device in spec.devices
        ],
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only_root,
    }
    if spec.network_mode != "bridge":
        host["NetworkMode"] = spec.network_mode
    if spec.memory_bytes is not None:
        host["Memory"] = spec.memory_bytes
    if spec.cpus is not None:
        host["NanoCpus"] = round(spec.cpus * _NS)
    return host


def _mount(mount: Mount) -> dict[str, Any]:
    options = {"VolumeOptions": {"Labels": dict(mount.labels)}} if mount.kind == "volume" else {}
    return {
        "Type": mount.kind,
        "Source": mount.source,
        "Target": mount.path,
        "ReadOnly": mount.read_only,
        **options,
    }
