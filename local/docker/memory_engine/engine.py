"""The simulated engine's state and what can be done to it, in the words and codes of Docker's API."""

import contextlib
import itertools
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from local.docker.images import architecture
from local.docker.memory_engine.containers import SimulatedContainer, inspected, listed
from local.docker.memory_engine.images import PullRefused, StoredImage, fetch
from local.docker.memory_engine.serving import Page, PortAllocated

VERSION = "20.10.0-simulated"
API_VERSION = "1.41"
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "arm": "armv7l"}


class Refused(Exception):
    """The answer is an error: its HTTP status and Docker's message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class MemoryEngine:
    """All state, behind one lock; pulls run outside it."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._containers: dict[str, SimulatedContainer] = {}
        self._volumes: dict[str, Mapping[str, str]] = {}  # labels by name
        self._images: dict[str, StoredImage] = {}  # by reference and by id
        self._listeners: list[queue.SimpleQueue[dict[str, Any] | None]] = []
        # A block of 127/8 of its own, so that two simulated engines on one machine seldom meet.
        self._block = f"127.{64 + secrets.randbelow(128)}.{secrets.randbelow(256)}"
        self._hosts = itertools.cycle(range(2, 255))

    def information(self) -> dict[str, Any]:
        """Return ``GET /info``, as far as anybody here reads it."""
        with self._lock:
            return {
                "ServerVersion": VERSION,
                "Architecture": _MACHINES.get(architecture(), architecture()),
                "OSType": "linux",
                "DockerRootDir": "/",
                "Name": "simulated",
                "Containers": len(self._containers),
                "Images": len({image.id for image in self._images.values()}),
            }

    @contextlib.contextmanager
    def happenings(self, filters: Mapping[str, Iterable[str]]) -> Iterator[Iterator[dict[str, Any]]]:
        """Hear of starts, ends and removals by request from now on, as ``GET /events`` tells them."""
        listener: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        with self._lock:
            self._listeners.append(listener)
        try:
            yield (event for event in iter(listener.get, None) if _is_asked_for(event, filters))
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def containers(self, filters: Mapping[str, Iterable[str]], *, everything: bool) -> list[dict[str, Any]]:
        """Return the containers that match every filter: label, name, id or status."""
        now = self._now()
        unknown = filters.keys() - {"label", "name", "id", "status"}
        if unknown:
            raise Refused(400, f"invalid filter '{min(unknown)}'")
        with self._lock:
            shown = [listed(each, now) for each in self._containers.values()]
        return [
            each
            for each in shown
            if (everything or each["State"] in ("running", "restarting") or "status" in filters)
            and all(_matches(each, kind, list(values)) for kind, values in filters.items())
        ]

    def inspect(self, name: str) -> dict[str, Any]:
        """Return one container by name, id or the beginning of its id."""
        with self._lock:
            return inspected(self._get(name), self._now())

    def create(self, name: str, config: Mapping[str, Any]) -> str:
        """Make a container and return its id."""
        with self._lock:
            image = self._images.get(config["Image"])
            if image is None:
                raise Refused(404, f"No such image: {config['Image']}")
            name = name or f"simulated_{secrets.token_hex(4)}"
            self._claim(name)
            container = SimulatedContainer(
                id=secrets.token_hex(32),
                name=name,
                image=image,
                config=config,
                created_at=self._now(),
                address=f"{self._block}.{next(self._hosts)}",
            )
            self._containers[container.id] = container
            for mount in (config.get("HostConfig") or {}).get("Mounts") or []:
                if mount["Type"] == "volume":
                    labels = (mount.get("VolumeOptions") or {}).get("Labels") or {}
                    self._volumes.setdefault(mount["Source"], labels)
            return container.id

    def start(self, name: str) -> bool:
        """Start a container; False when it runs already."""
        with self._lock:
            container = self._get(name)
            if container.status_at(self._now()).state in ("running", "restarting"):
                return False
            if container.serves:
                self._serve(container)
            container.started_at, container.ended_at = self._now(), None
            self._tell("start", container)
            return True

    def stop(self, name: str) -> bool:
        """End a container's process for good; False when there was none."""
        with self._lock:
            container = self._get(name)
            ran = container.status_at(self._now()).state in ("running", "restarting")
            container.end(self._now())
            if ran:
                self._tell("die", container)
            return ran

    def kill(self, name: str) -> None:
        """End a container's process; an error when there is none, as Docker has it."""
        if not self.stop(name):
            raise Refused(409, f"Cannot kill container: {name}: Container {name} is not running")

    def rename(self, name: str, new: str) -> None:
        """Give a container another name."""
        with self._lock:
            container = self._get(name)
            self._claim(new)
            container.name = new

    def remove(self, name: str, *, force: bool) -> None:
        """Remove a container; a running one only by force."""
        with self._lock:
            container = self._get(name)
            if container.status_at(self._now()).state in ("running", "restarting") and not force:
                raise Refused(409, f"You cannot remove a running container {container.id}. Stop it first")
            container.end(self._now())
            del self._containers[container.id]
            self._tell("destroy", container)

    def image(self, reference: str) -> dict[str, Any]:
        """Return an image by reference or id, as far as anybody here reads it."""
        with self._lock:
            image = self._images.get(reference)
        if image is None:
            raise Refused(404, f"No such image: {reference}")
        return _described(image)

    def images(self) -> list[dict[str, Any]]:
        """Return every image once, as ``GET /images/json`` lists them."""
        with self._lock:
            return [
                _described(image) for image in {image.id: image for image in self._images.values()}.values()
            ]

    def pull(self, repository: str, tag: str, login: Mapping[str, str]) -> None:
        """Fetch an image and keep it."""
        try:
            image = fetch(repository, tag, login)
        except PullRefused as refusal:
            raise Refused(refusal.status, str(refusal)) from refusal
        reference = f"{repository}@{tag}" if tag.startswith("sha256:") else f"{repository}:{tag}"
        self.keep(reference, image)

    def keep(self, reference: str, image: StoredImage) -> None:
        """Have ``image`` under ``reference`` too."""
        with self._lock:
            known = self._images.get(image.id)
            names = sorted({*(known.names if known else ()), reference})
            kept = replace(image, names=names)
            self._images |= dict.fromkeys((kept.id, *names), kept)

    def remove_image(self, reference: str) -> None:
        """Forget an image under every name; refused while a container is of it, as Docker has it."""
        self.image(reference)
        with self._lock:
            gone = self._images[reference].id
            for container in self._containers.values():
                if container.image.id == gone:
                    raise Refused(
                        409,
                        f'conflict: unable to remove repository reference "{reference}" (must force) - '
                        f"container {container.id[:12]} is using its referenced image {gone[7:19]}",
                    )
            self._images = {name: image for name, image in self._images.items() if image.id != gone}

    def volumes(self, filters: Mapping[str, Iterable[str]]) -> list[dict[str, Any]]:
        """Return the volumes that have every label of the filter."""
        wanted = list(filters.get("label", ()))
        with self._lock:
            return [
                {"Name": name, "Driver": "local", "Labels": labels}
                for name, labels in self._volumes.items()
                if {f"{key}={value}" for key, value in labels.items()}.issuperset(wanted)
            ]

    def remove_volume(self, name: str) -> None:
        """Forget a volume; refused while a container, even a stopped one, has it."""
        with self._lock:
            if name not in self._volumes:
                raise Refused(404, f"get {name}: no such volume")
            for container in self._containers.values():
                mounts = (container.config.get("HostConfig") or {}).get("Mounts") or []
                if any(mount["Source"] == name for mount in mounts):
                    raise Refused(409, f"remove {name}: volume is in use - [{container.id}]")
            del self._volumes[name]

    def close(self) -> None:
        """End every container, and whatever listens."""
        with self._lock:
            for listener in self._listeners:
                listener.put(None)
            for container in self._containers.values():
                container.end(self._now())

    def _tell(self, action: str, container: SimulatedContainer) -> None:
        event = {
            "Type": "container",
            "Action": action,
            "Actor": {"ID": container.id, "Attributes": {**container.labels, "name": container.name}},
            "time": int(self._now()),
        }
        for listener in self._listeners:
            listener.put(event)

    def _serve(self, container: SimulatedContainer) -> None:
        """Listen where the container's ports are: at its own address, and where they are published."""
        host = container.config.get("HostConfig") or {}
        published: Mapping[str, list[Mapping[str, str]]] = host.get("PortBindings") or {}
        exposed = {*published, *(container.image.config.get("ExposedPorts") or {})}
        page, bound = Page(container.image), []
        try:
            for port in sorted(exposed):
                number, _, protocol = port.partition("/")
                if protocol in ("", "tcp"):
                    page.listen(container.address, int(number))
                for binding in published.get(port) or []:
                    asked = binding.get("HostIp") or "0.0.0.0"
                    # Only loopback, whatever is asked: a stand-in opens nothing to the network.
                    where = "127.0.0.1" if asked == "0.0.0.0" else asked
                    given = page.listen(where, int(binding.get("HostPort") or 0))
                    bound.append(
                        {
                            "IP": asked,
                            "PrivatePort": int(number),
                            "PublicPort": given,
                            "Type": protocol or "tcp",
                        }
                    )
        except PortAllocated as error:
            with contextlib.suppress(OSError):
                page.end()
            raise Refused(
                500, f"driver failed programming external connectivity on endpoint {container.name}: {error}"
            ) from error
        container.page, container.bound = page, bound

    def _get(self, name: str) -> SimulatedContainer:
        name = name.removeprefix("/")
        for container in self._containers.values():
            if name in (container.id, container.name):
                return container
        matching = [each for each in self._containers.values() if len(name) >= 4 and each.id.startswith(name)]
        if len(matching) != 1:
            raise Refused(404, f"No such container: {name}")
        return matching[0]

    def _claim(self, name: str) -> None:
        for container in self._containers.values():
            if container.name == name:
                raise Refused(
                    409,
                    f'Conflict. The container name "/{name}" is already in use by container '
                    f'"{container.id}". You have to remove (or rename) it to be able to reuse that name.',
                )


def _is_asked_for(event: Mapping[str, Any], filters: Mapping[str, Iterable[str]]) -> bool:
    attributes = event["Actor"]["Attributes"]
    return event["Action"] in (filters.get("event") or (event["Action"],)) and all(
        attributes.get(key) == value
        for key, _, value in (each.partition("=") for each in filters.get("label") or ())
    )


def _described(image: StoredImage) -> dict[str, Any]:
    return {
        "Id": image.id,
        "Architecture": image.architecture,
        "Os": "linux",
        "Config": image.config,
        "Labels": image.labels,
        "Size": image.size,
        "RepoDigests": [name for name in image.names if "@" in name],
        "RepoTags": [name for name in image.names if "@" not in name],
    }


def _matches(shown: Mapping[str, Any], kind: str, values: list[str]) -> bool:
    match kind:
        case "label":
            return all(
                shown["Labels"].get(key) == value if sign else key in shown["Labels"]
                for key, sign, value in (each.partition("=") for each in values)
            )
        case "name":
            return any(value.removeprefix("/") in shown["Names"][0] for value in values)
        case "id":
            return any(shown["Id"].startswith(value) for value in values)
        case _:
            return shown["State"] in values
