"""Port to a container engine, in the agent's own words; knows no SDK and decides nothing."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from contract.applications import NetworkMode, RestartPolicy

State = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
Health = Literal["none", "starting", "healthy", "unhealthy"]

LABEL_THING = "io.fleetgrass.thing"
LABEL_APPLICATION = "io.fleetgrass.application"
LABEL_SPEC = "io.fleetgrass.spec"
LABEL_IMAGE = "io.fleetgrass.image"
#: How to look after the container, so that it tells even an agent that lost its state folder.
LABEL_SUPERVISION = "io.fleetgrass.supervision"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A registry login. Never logged: its repr shows no password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EngineInformation:
    """The engine's version, platform and data root."""

    version: str
    architecture: str  # amd64, arm64, arm: as images name it
    data_root: str  # the folder whose disk fills up
    storage_driver: str = ""


@dataclass(frozen=True, slots=True)
class PortBinding:
    """A published port; without ``host_port`` in a specification the engine chooses one."""

    container_port: int
    host_port: int | None = None
    protocol: str = "tcp"
    address: str = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Mount:
    """What is seen at ``path``: a file or folder of the machine, or a volume, made if it is not there."""

    kind: Literal["bind", "volume"]
    source: str  # on the machine, or the volume's name
    path: str
    read_only: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)  # of the volume, if it is made


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device of the machine, seen at ``path``."""

    source: str
    path: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class Check:
    """A command by which the engine itself tells the container's health."""

    command: tuple[str, ...]
    interval_s: float
    timeout_s: float
    retries: int


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to create. Every one gets an init process and bounded logs, whatever its image does."""

    name: str
    image: str  # a reference that the engine has
    labels: Mapping[str, str]
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: tuple[PortBinding, ...] = ()
    memory_bytes: int | None = None
    restart: RestartPolicy = "unless-stopped"
    stop_grace_s: int = 10
    entrypoint: tuple[str, ...] | None = None
    mounts: tuple[Mount, ...] = ()
    devices: tuple[DeviceNode, ...] = ()
    network_mode: NetworkMode = "bridge"
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    read_only_root: bool = False
    user: str | None = None
    cpus: float | None = None
    check: Check | None = None  # None: the image's own, if it has one
    log_max_size_mib: int = 10  # per file
    log_max_files: int = 3


@dataclass(frozen=True, slots=True)
class Container:
    """A container as one list request shows it."""

    id: str
    name: str
    state: State
    labels: Mapping[str, str]
    health: Health = "none"  # "none": the image has no health check, or the container does not run
    address: str | None = None  # where the machine reaches it, while it runs
    ports: tuple[PortBinding, ...] = ()
    exit_code: int | None = None  # of its latest run, when it has ended

    @property
    def alive(self) -> bool:
        """Whether its process runs, is paused, or will be started again by the engine."""
        return self.state in ("running", "paused", "restarting")


@dataclass(frozen=True, slots=True)
class Volume:
    """A named volume as the list shows it."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """How a container's run went until now: what the list does not show."""

    started_at: str = ""  # the engine's time of the latest start; only good for comparing
    restarts: int = 0  # by the engine, since the start we asked for
    exit_code: int | None = None  # of the latest run, when it has ended or is being restarted
    out_of_memory: bool = False
    wrong_architecture: bool = False  # it could not run its command, and the image is for another machine
    error: str = ""  # the engine's own words


@dataclass(frozen=True, slots=True)
class Usage:
    """The resource usage of a running container."""

    cpu_s: float  # of all cores, since its start
    memory_bytes: int  # without what is only cached


#: What the engine says of containers without being asked: all that a list might show differently.
CHANGES = ("start", "die", "health_status", "pause", "unpause", "destroy")

#: Of a line of output that is read in whole; the rest of it is left out.
OUTPUT_LINE_LENGTH = 4096

#: Hears how far a pull has come, 0 to 100.
OnProgress = Callable[[int], None]


def ignore_progress(percent: int) -> None:
    """Hear how far a pull has come, and do nothing about it."""


class Engine(Protocol):
    """A container engine. Every method may raise EngineUnavailable, and only ever an EngineError.

    Safe to call from several threads. What is already so is a success: starting what runs, stopping
    what does not, removing what is gone.
    """

    def information(self) -> EngineInformation:
        """Return what the engine is; asked once per connection, then remembered."""

    def containers(self, thing: str) -> list[Container]:
        """Return every container labelled with ``thing``, running or not, by one request."""

    def listen(self, thing: str) -> AbstractContextManager[Iterator[str]]:
        """Hear what happens to the containers labelled with ``thing``, from the moment of entering on.

        Yields CHANGES as the engine tells them; ends after a long silence, and when the stream breaks
        without an error. Raises EngineUnavailable when entered and while listening.
        """

    def labels_of(self, name: str) -> Mapping[str, str] | None:
        """Return the labels of whichever container has ``name``; None when nobody has it."""

    def container_run(self, container_id: str) -> ContainerRun:
        """Return how the container's run went. Raises ContainerGone."""

    def last_lines(self, container_id: str, count: int, secrets: Collection[str] = ()) -> tuple[str, ...]:
        """Return the end of its output, without the values of its environment and the ``secrets``.

        Raises ContainerGone.
        """

    def output(self, container_id: str, secrets: Collection[str]) -> AbstractContextManager[Iterator[str]]:
        """Read all that is kept of its output, oldest line first, each with the engine's time before it.

        Without the values of its environment, and without ``secrets``. Raises ContainerGone; entered
        and while reading.
        """

    def usage(self, container_id: str) -> Usage | None:
        """Return what the container takes; None when it does not run, or nobody can tell.

        Raises ContainerGone.
        """

    def has_image(self, reference: str) -> bool:
        """Whether the engine has the image, without asking any registry."""

    def image_id(self, reference: str) -> str | None:
        """Return the id of the image that the engine has under ``reference``; None when it has none."""

    def images_in_use(self) -> frozenset[str]:
        """Return the ids of the images of all containers, also of others', running or not."""

    def remove_image(self, reference: str) -> bool:
        """Give up this name of an image, and the image with its last one; False when a container needs it."""

    def pull(
        self, reference: str, credentials: Credentials | None, on_progress: OnProgress = ignore_progress
    ) -> None:
        """Fetch the image; takes as long as it takes, unless nothing comes for long.

        ``on_progress`` hears how far it has come, in percent; when it raises, the pull is broken off. Raises
        PullFailed (see the tree), DiskFull.
        """

    def create(self, spec: ContainerSpec) -> str:
        """Create, not start, a container and return its id. Raises NameTaken, ImageMissing, SpecRefused."""

    def start(self, container_id: str) -> None:
        """Start it. Raises PortTaken, CommandNotFound, WrongArchitecture, ContainerGone."""

    def stop(self, container_id: str, grace_s: int) -> None:
        """Ask it to end, and after ``grace_s`` make it; returns when it has ended. Raises ContainerGone."""

    def rename(self, container_id: str, name: str) -> None:
        """Give it another name. Raises NameTaken, ContainerGone."""

    def remove(self, container_id: str) -> None:
        """Remove it with its anonymous volumes, running or not."""

    def volumes(self, thing: str) -> list[Volume]:
        """Return every volume labelled with ``thing``, by one request."""

    def remove_volume(self, name: str) -> None:
        """Delete a volume and what is in it. Raises VolumeInUse."""
