"""A registry on loopback with a handful of images for engine tests, behind a Basic login as ECR's is."""

import hashlib
import io
import tarfile
from typing import Any

from local.docker.image_store import ImageStore
from local.docker.images import Image, architecture, assemble

LOGIN = ("AWS", "good-token")
SECOND_NS = 1_000_000_000

#: What containers of each image do; as Docker's image configuration has it.
IMAGES: dict[str, dict[str, Any]] = {
    "server": {
        "Cmd": ["httpd", "-f", "-p", "8080", "-h", "/www"],
        "Labels": {"io.fleetgrass.sample.page": "hello"},
    },
    "healthy": {
        "Cmd": ["httpd", "-f", "-p", "8080", "-h", "/www"],
        "Labels": {"io.fleetgrass.sample.page": "hello"},
        "Healthcheck": {"Test": ["CMD", "/bin/true"], "Interval": SECOND_NS // 5, "Retries": 1},
    },
    "unhealthy": {
        "Cmd": ["httpd", "-f", "-p", "8080", "-h", "/www"],
        "Labels": {"io.fleetgrass.sample.page": "hello", "io.fleetgrass.sample.unhealthy": "true"},
        "Healthcheck": {"Test": ["CMD", "/bin/false"], "Interval": SECOND_NS // 5, "Retries": 1},
    },
    "failing": {"Cmd": ["false"], "Labels": {"io.fleetgrass.sample.exit": "1"}},
    "job": {"Cmd": ["true"], "Labels": {"io.fleetgrass.sample.exit": "0"}},
    "foreign-machine": {"Cmd": ["/bin/other"], "Labels": {"io.fleetgrass.sample.exit": "126"}},
    "no-command": {"Cmd": ["/bin/nothing"], "Labels": {"io.fleetgrass.sample.exit": "127"}},
    "hungry": {"Cmd": ["tail", "/dev/zero"], "Labels": {}},
    "never-coming": {"Cmd": ["true"], "Labels": {}},  # half of its configuration, and then silence
    "deaf": {"Cmd": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], "Labels": {}},
}
_PROGRAMS = ("sh", "httpd", "true", "false", "sleep", "tail")


class TinyRegistry:
    """Serves IMAGES of ``flavour`` by digest from a thread until ``stop``."""

    def __init__(self, busybox: bytes, flavour: str) -> None:
        layer = _layer(busybox)
        images = {name: _image(layer, name, config, flavour) for name, config in IMAGES.items()}
        self._digests = {name: image.digest for name, image in images.items()}
        description = hashlib.sha256(images["never-coming"].blobs[0]).hexdigest()
        self._store = ImageStore(images.values(), login=LOGIN, stalls_at={f"sha256:{description}"})
        self.address = self._store.address
        self.stop = self._store.stop

    def reference(self, image: str) -> str:
        """Return where to pull one of IMAGES from, by digest."""
        return f"{self.address}/fleetgrass/{image}@{self._digests[image]}"


def _image(layer: bytes, name: str, config: dict[str, Any], flavour: str) -> Image:
    foreign = "arm64" if architecture() != "arm64" else "amd64"
    return assemble(
        layer,
        {"Env": ["PATH=/bin"], **config, "Labels": {**config["Labels"], "flavour": flavour}},
        foreign if name == "foreign-machine" else architecture(),
    )


def _layer(busybox: bytes) -> bytes:
    buffer = io.BytesIO()
    # An ELF header of no machine: the kernel answers ENOEXEC, as to a program of another one.
    files = {"bin/busybox": busybox, "bin/other": b"\x7fELF" + b"\0" * 60, "www/index.html": b"hello\n"}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
        for program in _PROGRAMS:
            link = tarfile.TarInfo(f"bin/{program}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()
