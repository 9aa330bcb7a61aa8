"""Specification of an application: everything that can be set on the container it runs as.

A field added later has a default that means "as before", so that it is left out of every digest.
"""

import hashlib
import json
from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from contract.defaults import (
    HEALTH_INTERVAL_S,
    HEALTH_TIMEOUT_S,
    HEALTHY_WINDOW_S,
    LOG_MAX_FILES,
    LOG_MAX_SIZE_MIB,
    STOP_GRACE_S,
)
from contract.names import ApplicationName, ImageReference
from contract.wire import Strict

PortNumber = Annotated[int, Field(ge=1, le=65_535)]
Interval = Annotated[float, Field(ge=0.2, le=300)]
Timeout = Annotated[float, Field(ge=0.1, le=60)]
#: Absolute, without ``..``: what is mounted is what is written.
AbsolutePath = Annotated[
    str, StringConstraints(pattern=r"^(/\.?[^/.:\x00-\x1f][^/:\x00-\x1f]*)+$", max_length=255)
]
Capability = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z_]{1,30}$")]
Arguments = Annotated[
    list[Annotated[str, StringConstraints(max_length=4_096)]], Field(min_length=1, max_length=64)
]
#: ``user``, ``user:group``, by name or number.
User = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9_][a-z0-9_.-]{0,31}(:[a-z0-9_][a-z0-9_.-]{0,31})?$")
]
#: Ours and the engine's own tools' labels are not for applications.
LabelKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,126}$")]


class Port(Strict):
    """A published port; without ``host_port`` the engine chooses one and the report says which."""

    container_port: PortNumber
    host_port: PortNumber | None = None
    protocol: Literal["tcp", "udp"] = "tcp"


class Volume(Strict):
    """A named volume of the application: it outlives the container until a deployment deletes it."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    path: AbsolutePath  # in the container
    read_only: bool = False


class Bind(Strict):
    """A file or folder of the device, seen in the container. It must exist; the device's policy decides."""

    source: AbsolutePath  # on the device
    path: AbsolutePath  # in the container
    read_only: bool = False


class DeviceAccess(Strict):
    """A device node, such as ``/dev/ttyUSB0``; the device's policy must allow it."""

    source: AbsolutePath  # on the device
    path: AbsolutePath | None = None  # in the container; the same one when left out
    permissions: Annotated[str, StringConstraints(pattern=r"^r?w?m?$", min_length=1)] = "rwm"


class Secret(Strict):
    """A value that only the device reads, named by where it is kept.

    As ``env`` it is the environment variable ``name``; as ``file`` it is ``/run/secrets/{name}``.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
    source: Annotated[
        str,
        StringConstraints(
            pattern=r"^(secretsmanager:[A-Za-z0-9/_+=.@-]{1,512}|ssm:[A-Za-z0-9/_.-]{1,1011})$"
        ),
    ]
    given_as: Annotated[Literal["env", "file"], Field(alias="as")] = "env"


class LogRotation(Strict):
    """How much of an application's output the device keeps: at most size × files."""

    max_size_mib: Annotated[int, Field(ge=1, le=1_024)] = LOG_MAX_SIZE_MIB
    max_files: Annotated[int, Field(ge=1, le=100)] = LOG_MAX_FILES


class Dependency(Strict):
    """Another application of the same deployment that must be there before this one starts."""

    application: ApplicationName
    condition: Literal["started", "healthy"] = "healthy"


class ImageHealthCheck(Strict):
    """Trust the image's own HEALTHCHECK; an image without one is healthy while it runs."""

    model_config = ConfigDict(json_schema_extra={"required": ["kind"]})  # by which a check is told

    kind: Literal["image"] = "image"


class HttpHealthCheck(Strict):
    """Healthy when ``GET http://{container}:{port}{path}`` answers 200-399."""

    kind: Literal["http"]
    port: PortNumber  # the container's port, asked on the container's own address
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=256)] = "/"
    interval_s: Interval = HEALTH_INTERVAL_S
    timeout_s: Timeout = HEALTH_TIMEOUT_S


class TcpHealthCheck(Strict):
    """Healthy when the container's port takes a connection."""

    kind: Literal["tcp"]
    port: PortNumber  # the container's port, asked on the container's own address
    interval_s: Interval = HEALTH_INTERVAL_S
    timeout_s: Timeout = HEALTH_TIMEOUT_S


class CommandHealthCheck(Strict):
    """Healthy when the command, run in the container without a shell, exits with 0."""

    kind: Literal["command"]
    command: Arguments
    interval_s: Interval = HEALTH_INTERVAL_S
    timeout_s: Timeout = HEALTH_TIMEOUT_S


HealthCheck = Annotated[
    ImageHealthCheck | HttpHealthCheck | TcpHealthCheck | CommandHealthCheck, Field(discriminator="kind")
]
#: ``on-failure`` starts again unless the exit code is 0.
RestartPolicy = Literal["unless-stopped", "on-failure", "no"]
NetworkMode = Literal["bridge", "host", "none"]
#: hand-over: the new one runs and is healthy before the old one is stopped.
UpdateStrategy = Literal["download-then-kill", "kill-then-download", "hand-over"]

#: What says how to get there, not what to run: changing it leaves a running container alone.
_NOT_OF_THE_CONTAINER = frozenset({"update_strategy"})


class Application(Strict):
    """One named container on a device. A field that is left out has its default, which never changes."""

    name: ApplicationName
    image: ImageReference
    command: Annotated[list[str], Field(min_length=1, max_length=64)] | None = None
    env: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = {}
    ports: Annotated[list[Port], Field(max_length=32)] = []
    memory_mib: Annotated[int, Field(ge=6)] | None = None  # the engine's own minimum is 6 MiB
    restart: RestartPolicy = "unless-stopped"
    stop_grace_s: Annotated[float, Field(ge=0, le=3600)] = STOP_GRACE_S
    health_check: HealthCheck = ImageHealthCheck()
    healthy_window_s: Annotated[float, Field(ge=1, le=3600)] = HEALTHY_WINDOW_S
    entrypoint: Arguments | None = None
    secrets: Annotated[list[Secret], Field(max_length=32)] = []
    volumes: Annotated[list[Volume], Field(max_length=32)] = []
    binds: Annotated[list[Bind], Field(max_length=32)] = []
    devices: Annotated[list[DeviceAccess], Field(max_length=32)] = []
    network_mode: NetworkMode = "bridge"
    cap_add: Annotated[list[Capability], Field(max_length=41)] = []
    cap_drop: Annotated[list[Capability], Field(max_length=41)] = []
    privileged: bool = False
    read_only_root: bool = False
    user: User | None = None
    cpus: Annotated[float, Field(ge=0.01, le=1_024)] | None = None
    depends_on: Annotated[list[Dependency], Field(max_length=32)] = []
    update_strategy: UpdateStrategy = "download-then-kill"
    labels: Annotated[
        dict[LabelKey, Annotated[str, StringConstraints(max_length=1_024)]], Field(max_length=64)
    ] = {}
    log_rotation: LogRotation = LogRotation()
    #: A folder of the device at /run/fleetgrass; while the file ``lock`` is in it, nothing stops this.
    update_lock: bool = False

    def digest(self) -> str:
        """Return 64 hex digits that change exactly when the container would have to be another one.

        Defaults are left out, so a field added later does not recreate every container. A default
        may therefore never change its value.
        """
        return self._digest(exclude=_NOT_OF_THE_CONTAINER)

    def wish_digest(self) -> str:
        """Return 64 hex digits that change exactly when anything in the specification does."""
        return self._digest(exclude=())

    def _digest(self, exclude: Collection[str]) -> str:
        meaning = self.model_dump(mode="json", exclude_defaults=True, exclude=set(exclude))
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()
