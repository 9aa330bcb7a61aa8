"""A registry on loopback with a handful of images for engine tests, behind a Basic login as ECR's is."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from local.docker.images import MANIFEST, architecture
from local.process.http_server import LoopbackServer

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
        self._blobs: dict[str, bytes] = {}
        self._layer = _layer(busybox)
        self._compressed = gzip.compress(self._layer, compresslevel=1, mtime=0)
        self.stopping = threading.Event()
        self._never = ""
        self._digests = {name: self._add(name, config, flavour) for name, config in IMAGES.items()}
        self._server = LoopbackServer(0, _Handler, self)
        self.address = self._server.address
        self._server.start()

    def reference(self, image: str) -> str:
        """Return where to pull one of IMAGES from, by digest."""
        return f"{self.address}/fleetgrass/{image}@{self._digests[image]}"

    def blob(self, digest: str) -> bytes | None:
        return self._blobs.get(digest)

    def stalls_at(self, digest: str) -> bool:
        """Whether this blob ends in silence: the configuration of the image that never comes."""
        return digest == self._never

    def stop(self) -> None:
        self.stopping.set()
        self._server.stop()

    def _add(self, name: str, config: dict[str, Any], flavour: str) -> str:
        foreign = "arm64" if architecture() != "arm64" else "amd64"
        description = json.dumps(
            {
                "architecture": foreign if name == "foreign-machine" else architecture(),
                "os": "linux",
                "config": {
                    "Env": ["PATH=/bin"],
                    **config,
                    "Labels": {**config["Labels"], "flavour": flavour},
                },
                "rootfs": {"type": "layers", "diff_ids": [_digest(self._layer)]},
            }
        ).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _descriptor("application/vnd.docker.container.image.v1+json", description),
                "layers": [
                    _descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", self._compressed)
                ],
            }
        ).encode()
        if name == "never-coming":
            self._never = _digest(description)
        for content in (description, self._compressed, manifest):
            self._blobs[_digest(content)] = content
        return _digest(manifest)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackServer[TinyRegistry]

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        login = base64.b64encode(":".join(LOGIN).encode()).decode()
        if self.headers.get("Authorization") != f"Basic {login}":
            self._answer(401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "Not Authorized"}]}')
            return
        if self.path == "/v2/":
            self._answer(200, b"{}")
            return
        content = self.server.service.blob(self.path.rpartition("/")[2])
        if content is None:
            self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')
            return
        self._answer(200, content, MANIFEST if "/manifests/" in self.path else "application/octet-stream")

    do_HEAD = do_GET

    def _answer(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="tiny"')
        if "/manifests/" in self.path and status == 200:
            self.send_header("Docker-Content-Digest", self.path.rpartition("/")[2])
        self.end_headers()
        if self.command != "GET":
            return
        if self.server.service.stalls_at(_digest(content)):
            self.wfile.write(content[: len(content) // 2])
            self.server.service.stopping.wait(60)
            return
        self.wfile.write(content)


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


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "size": len(content), "digest": _digest(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
