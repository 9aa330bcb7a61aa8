"""A container engine in memory, with its state open to tests.

Behaves as the shared engine tests demand of the real one; what only it can do (time, crashing
containers, registries that fail) is what makes it worth having.
"""

import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from edge.engine.redaction import redact, redacted
from edge.ports.engine import (
    LABEL_THING,
    OUTPUT_LINE_LENGTH,
    Container,
    ContainerRun,
    ContainerSpec,
    Credentials,
    EngineInformation,
    Health,
    OnProgress,
    PortBinding,
    State,
    Usage,
    Volume,
    ignore_progress,
)
from edge.ports.engine_errors import (
    CommandNotFound,
    ContainerGone,
    EngineError,
    EngineUnavailable,
    ImageMissing,
    ImageNotFound,
    NameTaken,
    PortTaken,
    RegistryDenied,
    VolumeInUse,
)


@dataclass
class FakeImage:
    """What containers of an image do."""

    health: Health = "none"  # what the image's health check says at once
    exits: int | None = None  # they end with this as soon as they start
    says: tuple[str, ...] = ()  # they write this whenever they start
    wrong_architecture: bool = False
    no_command: bool = False


@dataclass
class FakeContainer:
    id: str
    spec: ContainerSpec
    name: str
    state: State = "created"
    lagging: bool = False  # the list still shows it running
    health: Health = "none"
    ports: tuple[PortBinding, ...] = ()
    container_run: ContainerRun = field(default_factory=ContainerRun)
    starts: int = 0
    stopped_by_hand: bool = False  # by a request: an engine that boots leaves it so
    output: list[str] = field(default_factory=list)


class FakeEngine:
    """An engine whose registry holds ``registry`` and which has ``images`` already."""

    def __init__(self) -> None:
        self.all: dict[str, FakeContainer] = {}
        self.images: dict[str, FakeImage] = {}
        self.named_volumes: dict[str, Mapping[str, str]] = {}  # labels by name
        self.registry: dict[str, FakeImage] = {}
        self.pull_errors: dict[str, EngineError] = {}
        self.start_errors: dict[str, EngineError] = {}  # by image
        self.stop_errors: dict[str, EngineError] = {}  # by the container's name
        self.on_stop: Callable[[str, int], object] | None = None  # told its name and grace before it stops
        self.on_pull_progress: Callable[[int], None] | None = None  # called after each progress of a pull
        self.on_remove_image: Callable[[], None] | None = None
        self.happened: deque[str | EngineError] = deque()  # what a listener hears; then its stream ends
        self.usages: dict[str, Usage] = {}  # by container
        self.login_needed: Credentials | None = None
        self.logins: list[Credentials | None] = []
        self.calls: list[str] = []
        self.available = True
        self.lags = False  # the list does not show that a process ended, until the container is stopped
        self.taken_ports: set[int] = set()  # by processes that are no containers
        self._ids = itertools.count(1)
        self._ports = itertools.count(49153)

    def named(self, name: str) -> FakeContainer:
        """Return the container with this name."""
        return next(each for each in self.all.values() if each.name == name)

    def add_foreign(self, name: str, image: str = "foreign") -> FakeContainer:
        """Run somebody else's container."""
        spec = ContainerSpec(name=name, image=image, labels={"com.example": "theirs"})
        added = FakeContainer(f"{next(self._ids):064x}", spec, name, state="running")
        self.all[added.id] = added
        return added

    def information(self) -> EngineInformation:
        # The real adapter remembers it per connection: no request, so no place to die.
        if not self.available:
            raise EngineUnavailable("no answer")
        return EngineInformation("99.0", "amd64", "/var/lib/fake")

    def containers(self, thing: str) -> list[Container]:
        with self._call("list"):
            return [
                self._shown(each) for each in self.all.values() if each.spec.labels.get(LABEL_THING) == thing
            ]

    @contextmanager
    def listen(self, thing: str) -> Iterator[Iterator[str]]:
        if not self.available:
            raise EngineUnavailable("no answer")
        self.happened.clear()
        yield self._changes()

    def _changes(self) -> Iterator[str]:
        while self.happened:
            change = self.happened.popleft()
            if isinstance(change, EngineError):
                raise change
            yield change

    def labels_of(self, name: str) -> Mapping[str, str] | None:
        with self._call("inspect"):
            return next((each.spec.labels for each in self.all.values() if each.name == name), None)

    def container_run(self, container_id: str) -> ContainerRun:
        with self._call("inspect"):
            return self._get(container_id).container_run

    def last_lines(self, container_id: str, count: int, secrets: Collection[str] = ()) -> tuple[str, ...]:
        with self._call("logs"):
            container = self._get(container_id)
            return redacted(container.output[-count:], [*container.spec.env.values(), *secrets])

    @contextmanager
    def output(self, container_id: str, secrets: Collection[str]) -> Iterator[Iterator[str]]:
        with self._call("logs"):
            container = self._get(container_id)
            hidden = [*container.spec.env.values(), *secrets]
            lines = (f"2026-11-22T12:00:00.000000000Z {line}" for line in container.output)
            yield redact(lines, hidden, OUTPUT_LINE_LENGTH)

    def has_image(self, reference: str) -> bool:
        with self._call("image"):
            return reference in self.images

    def usage(self, container_id: str) -> Usage | None:
        with self._call("stats"):
            found = [each for each in self.all.values() if each.id.startswith(container_id)]
            if not found:
                raise ContainerGone(f"no such container: {container_id}")
            return self.usages.get(found[0].id, Usage(0.5, 1 << 20)) if found[0].state == "running" else None

    def image_id(self, reference: str) -> str | None:
        with self._call("image"):
            return reference if reference in self.images else None

    def images_in_use(self) -> frozenset[str]:
        with self._call("list"):
            return frozenset(each.spec.image for each in self.all.values())

    def remove_image(self, reference: str) -> bool:
        with self._call("remove image"):
            if any(each.spec.image == reference for each in self.all.values()):
                return False
            self.images.pop(reference, None)
            if self.on_remove_image is not None:
                self.on_remove_image()
            return True

    def pull(
        self, reference: str, credentials: Credentials | None, told: OnProgress = ignore_progress
    ) -> None:
        with self._call("pull"):
            self.logins.append(credentials)
            for percent in (0, 40, 100):
                told(percent)
                if self.on_pull_progress is not None:
                    self.on_pull_progress(percent)
            if reference in self.pull_errors:
                raise self.pull_errors[reference]
            if self.login_needed is not None and credentials != self.login_needed:
                raise RegistryDenied("unauthorized")
            if reference not in self.registry:
                raise ImageNotFound(f"manifest unknown: {reference}")
            self.images[reference] = self.registry[reference]

    def create(self, spec: ContainerSpec) -> str:
        with self._call("create"):
            if spec.image not in self.images:
                raise ImageMissing(f"no such image: {spec.image}")
            self._claim(spec.name)
            for mount in spec.mounts:
                if mount.kind == "volume":
                    self.named_volumes.setdefault(mount.source, mount.labels)
            created = FakeContainer(f"{next(self._ids):064x}", spec, spec.name)
            self.all[created.id] = created
            return created.id

    def start(self, container_id: str) -> None:
        with self._call("start"):
            container = self._get(container_id)
            if container.state == "running":
                return
            image = self.images.get(container.spec.image, FakeImage())
            if container.spec.image in self.start_errors:
                raise self.start_errors[container.spec.image]
            if image.no_command:
                raise CommandNotFound("executable file not found")
            container.ports = tuple(self._bind(port) for port in container.spec.ports)
            container.starts += 1
            container.stopped_by_hand = False
            self.happened.append("start")
            container.output += image.says
            container.state, container.health = "running", image.health
            container.container_run = ContainerRun(started_at=f"start {container.starts}")
            if image.exits is not None:
                self.end(container, image.exits, wrong_architecture=image.wrong_architecture)

    def stop(self, container_id: str, grace_s: int) -> None:
        with self._call("stop"):
            container = self._get(container_id)
            if self.on_stop is not None:
                self.on_stop(container.name, grace_s)
            if container.name in self.stop_errors:
                raise self.stop_errors[container.name]
            container.lagging = False
            if container.state in ("running", "restarting", "paused"):
                container.stopped_by_hand = True
                container.state, container.health, container.ports = "exited", "none", ()
                container.container_run = replace(container.container_run, exit_code=143)
                self.happened.append("die")

    def rename(self, container_id: str, name: str) -> None:
        with self._call("rename"):
            self._get(container_id)
            self._claim(name)
            self._get(container_id).name = name

    def remove(self, container_id: str) -> None:
        with self._call("remove"):
            if self.all.pop(container_id, None) is not None:
                self.happened.append("destroy")

    def volumes(self, thing: str) -> list[Volume]:
        with self._call("volumes"):
            return [
                Volume(name, labels)
                for name, labels in self.named_volumes.items()
                if labels.get(LABEL_THING) == thing
            ]

    def remove_volume(self, name: str) -> None:
        with self._call("remove volume"):
            if any(mount.source == name for each in self.all.values() for mount in each.spec.mounts):
                raise VolumeInUse(f"remove {name}: volume is in use")
            self.named_volumes.pop(name, None)

    def end(self, container: FakeContainer, exit_code: int, *, wrong_architecture: bool = False) -> None:
        """End a container's process: it stays ended, or is being restarted, as its policy says."""
        self.happened.append("die")
        container.lagging = self.lags
        policy = container.spec.restart
        restarted = policy == "unless-stopped" or (policy == "on-failure" and exit_code != 0)
        container.state, container.health, container.ports = (
            "restarting" if restarted else "exited",
            "none",
            (),
        )
        container.container_run = replace(
            container.container_run,
            exit_code=exit_code,
            wrong_architecture=wrong_architecture,
            restarts=container.container_run.restarts + restarted,
        )

    def run_again(self, container: FakeContainer) -> None:
        """Restart an ended container, as the engine does by its policy."""
        container.starts += 1
        container.state = "running"
        container.container_run = replace(
            container.container_run, started_at=f"start {container.starts}", exit_code=None
        )

    def power_cycle(self) -> None:
        """Cut every container's power, and start at boot those that an engine starts then."""
        for container in self.all.values():
            if container.state in ("running", "restarting", "paused"):
                container.state, container.health, container.ports = "exited", "none", ()
                container.container_run = replace(container.container_run, exit_code=137)
                if container.spec.restart == "unless-stopped" and not container.stopped_by_hand:
                    self.run_again(container)

    def _get(self, container_id: str) -> FakeContainer:
        if container_id not in self.all:
            raise ContainerGone(f"no such container: {container_id}")
        return self.all[container_id]

    def _claim(self, name: str) -> None:
        if any(each.name == name for each in self.all.values()):
            raise NameTaken(f"the container name {name} is already in use")

    def _bind(self, port: PortBinding) -> PortBinding:
        bound = {each.host_port for other in self.all.values() for each in other.ports} | self.taken_ports
        if port.host_port in bound:
            raise PortTaken(f"port {port.host_port} is already allocated")
        return replace(port, host_port=port.host_port or next(self._ports))

    def _shown(self, container: FakeContainer) -> Container:
        state: State = "running" if container.lagging else container.state
        return Container(
            id=container.id,
            name=container.name,
            state=state,
            labels=container.spec.labels,
            health=container.health if state == "running" else "none",
            address="172.17.0.2" if state == "running" else None,
            ports=container.ports,
            exit_code=container.container_run.exit_code if state == "exited" else None,
        )

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        if not self.available:
            raise EngineUnavailable("no answer")
        self.calls.append(name)
        yield
