"""Container specification, made from an application's. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from contract.applications import Application, CommandHealthCheck
from contract.consistency import LOCK_PATH, SECRETS_PATH
from edge.containers.model.observed import Supervision, current_name, volume_name
from edge.containers.plan.health import REFUSALS
from edge.ports.engine import (
    LABEL_APPLICATION,
    LABEL_IMAGE,
    LABEL_SPEC,
    LABEL_SUPERVISION,
    LABEL_THING,
    Check,
    ContainerSpec,
    DeviceNode,
    Mount,
    PortBinding,
)

LOCKS = "locks"  # a folder of the agent's, with one folder per application that may lock


def lock_folder(folder: Path, application: str) -> Path:
    """Return the folder in which an application puts its lock; ``folder`` is the agent's."""
    return folder / LOCKS / application


@dataclass(frozen=True, slots=True)
class Given:
    """The secret values of an application, fetched beforehand."""

    variables: Mapping[str, str] = field(repr=False)
    files: Path  # the folder with its files


def container_spec(
    application: Application,
    *,
    spec: str,
    thing: str,
    reference: str,
    publish_address: str,
    folder: Path,
    given: Given,
) -> ContainerSpec:
    """Return the container to create for ``application`` from the local image ``reference``.

    ``spec`` is the digest that it is recognised by; ``folder`` is the agent's own, whose folders an
    application may be given.
    """
    check = application.health_check
    return ContainerSpec(
        name=current_name(thing, application.name),
        image=reference,
        labels={
            **application.labels,
            LABEL_THING: thing,
            LABEL_APPLICATION: application.name,
            LABEL_SPEC: spec,
            LABEL_IMAGE: application.image,
            LABEL_SUPERVISION: _supervision(application, folder).model_dump_json(exclude_defaults=True),
        },
        command=None if application.command is None else tuple(application.command),
        env={**application.env, **given.variables},
        ports=tuple(
            PortBinding(port.container_port, port.host_port, port.protocol, publish_address)
            for port in application.ports
        ),
        memory_bytes=None if application.memory_mib is None else application.memory_mib << 20,
        # Who depends on others is started by the agent, in order; after a reboot too.
        restart="no" if application.depends_on else application.restart,
        stop_grace_s=ceil(application.stop_grace_s),
        entrypoint=None if application.entrypoint is None else tuple(application.entrypoint),
        mounts=tuple(_mounts(application, thing, folder, given.files)),
        devices=tuple(
            DeviceNode(device.source, device.path or device.source, device.permissions)
            for device in application.devices
        ),
        network_mode=application.network_mode,
        cap_add=tuple(application.cap_add),
        cap_drop=tuple(application.cap_drop),
        privileged=application.privileged,
        read_only_root=application.read_only_root,
        user=application.user,
        cpus=application.cpus,
        check=Check(tuple(check.command), check.interval_s, check.timeout_s, REFUSALS)
        if isinstance(check, CommandHealthCheck)
        else None,
        log_max_size_mib=application.log_rotation.max_size_mib,
        log_max_files=application.log_rotation.max_files,
    )


def _supervision(application: Application, folder: Path) -> Supervision:
    return Supervision(
        health_check=application.health_check,
        healthy_window_s=application.healthy_window_s,
        stop_grace_s=application.stop_grace_s,
        restart=application.restart,
        update_lock=application.update_lock,
        lock_folder=str(lock_folder(folder, application.name)) if application.update_lock else None,
        secrets=[secret for secret in application.secrets if secret.given_as == "file"],
    )


def _mounts(application: Application, thing: str, folder: Path, secret_files: Path) -> Iterator[Mount]:
    ours = {LABEL_THING: thing, LABEL_APPLICATION: application.name}
    for volume in application.volumes:
        name = volume_name(thing, application.name, volume.name)
        yield Mount("volume", name, volume.path, volume.read_only, ours)
    for bind in application.binds:
        yield Mount("bind", bind.source, bind.path, bind.read_only)
    if application.update_lock:
        yield Mount("bind", str(lock_folder(folder, application.name)), LOCK_PATH)
    if any(secret.given_as == "file" for secret in application.secrets):
        yield Mount("bind", str(secret_files), SECRETS_PATH, read_only=True)
