"""An engine with the bench's images on it, and a way back to how it was before."""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docker import APIClient
from docker.errors import NotFound

from bench.rows import Machine
from bench.sides import Fleet
from edge.engine.docker import DockerEngine
from edge.ports.engine import LABEL_THING
from local.docker.image_store import ImageStore
from local.docker.images import Image, architecture, assemble, layer_of

QUIET = ("/bin/busybox", "sleep", "1000000")
#: An ignored signal stays ignored over exec (signal(7)): this one hears no SIGTERM, and burns nothing.
DEAF = ("/bin/sh", "-c", "trap '' TERM; exec /bin/busybox sleep 1000000")
#: The labels by which each side knows its containers.
OWNERS = (LABEL_THING, "com.docker.compose.project")
_REPOSITORY = "fleetgrass/bench"
_BIG_BYTES = 100 * 1000 * 1000


@dataclass(slots=True)
class Lab:
    """What rows are measured with. ``name`` is the bench's own on the engine, in every container's name."""

    docker_host: str
    store: ImageStore
    folder: Path
    client: APIClient
    name: str
    images: tuple[str, str]  # two small ones that the engine has, as repository@digest

    def fleet(self, count: int, *, changed: int = 0) -> Fleet:
        """Return ``count`` containers, of which the first ``changed`` have the second image."""
        images = {f"app-{i:02d}": self.images[int(i < changed)] for i in range(count)}
        return Fleet(images, QUIET)

    def deaf_fleet(self, count: int, stop_grace_s: float) -> Fleet:
        """Return ``count`` containers that ignore SIGTERM."""
        return Fleet(self.fleet(count).images, DEAF, stop_grace_s)

    def add_big(self) -> str:
        """Serve an image of 100 MB that nothing can compress; return it as repository@digest."""
        layer = layer_of(b"", {"big": os.urandom(_BIG_BYTES)})
        image = assemble(layer, {"Cmd": ["/bin/none"]}, architecture())
        self.store.add(image)
        return f"{_REPOSITORY}@{image.digest}"

    def forget(self, reference: str) -> None:
        """Take an image off the engine, if it is there."""
        with contextlib.suppress(NotFound):
            self.client.remove_image(reference, force=True)

    def machine(self) -> Machine:
        """Return what this is measured on, and how busy it is now."""
        engine = str(self.client.version()["Version"])
        return Machine(os.cpu_count() or 1, round(os.getloadavg()[0], 1), engine)


@contextlib.contextmanager
def lab(docker_host: str, busybox: bytes) -> Iterator[Lab]:
    """Prepare the engine; in the end nothing of the bench is left on it."""
    name = f"bench-{secrets.token_hex(4)}"
    small = [_small(busybox, name, page) for page in ("one", "two")]
    store = ImageStore(small)
    folder = Path(tempfile.mkdtemp(prefix="fleetgrass-bench-"))
    client = APIClient(base_url=docker_host, version="auto", timeout=120)
    one, two = (f"{_REPOSITORY}@{image.digest}" for image in small)
    try:
        engine = DockerEngine({"DOCKER_HOST": docker_host})
        for image in (one, two):
            engine.pull(f"{store.address}/{image}", None)
        engine.close()
        yield Lab(docker_host, store, folder, client, name, (one, two))
    finally:
        _sweep(client, name, store.address)
        client.close()
        store.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(client: APIClient, name: str, registry: str) -> None:
    for label in OWNERS:
        for left in client.containers(all=True, filters={"label": f"{label}={name}"}):
            with contextlib.suppress(NotFound):  # it was going already
                client.remove_container(left["Id"], v=True, force=True)
    for image in client.images():
        if any(known.startswith(f"{registry}/") for known in image["RepoDigests"] or []):
            client.remove_image(image["Id"], force=True)


def _small(busybox: bytes, name: str, page: str) -> Image:
    layer = layer_of(busybox, {"www/index.html": f"{page}\n".encode()})
    return assemble(layer, {"Env": ["PATH=/bin"], "Labels": {"bench": name}}, architecture())
