"""Sample application images, made without an engine and without a hub, and pushed over HTTP.

One layer: Debian's static busybox, whose httpd serves a page. The bytes depend on busybox and the
arguments alone, so the digests are the same on every machine with the same busybox.
"""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import requests

from contract.names import docker_architecture

REPOSITORY = "fleetgrass/hello"
PORT = 8080
BUSYBOX = Path("/bin/busybox")
PAGE_LABEL = "io.fleetgrass.sample.page"  # what the simulated engine serves in the container's place
UNHEALTHY_LABEL = "io.fleetgrass.sample.unhealthy"  # "true": its health check never succeeds

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_SECOND_NS = 1_000_000_000
_TIMEOUT_S = 30


class PushRefused(Exception):
    """The registry did not take a blob or a manifest."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image's blobs and its manifest, ready to push."""

    manifest: bytes
    blobs: tuple[bytes, ...] = field(repr=False)

    @property
    def digest(self) -> str:
        """``sha256:…`` of the manifest: what the image is pulled by."""
        return _digest(self.manifest)


def samples(busybox: bytes, architecture: str) -> dict[str, Image]:
    """Return the sample images by tag: ``v1``, ``v2``, and ``failing``, which starts and is never healthy."""
    return {
        "v1": hello(busybox, architecture, page="hello from fleetgrass v1"),
        "v2": hello(busybox, architecture, page="hello from fleetgrass v2"),
        "failing": hello(busybox, architecture, page="hello from a failing fleetgrass", healthy=False),
    }


def hello(busybox: bytes, architecture: str, *, page: str, healthy: bool = True) -> Image:
    """Return an image that serves ``page`` on port 8080, and ``/health`` when it is ``healthy``."""
    files = {"www/index.html": f"{page}\n".encode()}
    if healthy:
        files["www/health"] = b"ok\n"
    return assemble(
        layer_of(busybox, files),
        {
            "Entrypoint": ["/bin/busybox", "httpd", "-f", "-p", str(PORT), "-h", "/www"],
            "WorkingDir": "/",
            "Env": ["PATH=/bin"],
            "ExposedPorts": {f"{PORT}/tcp": {}},
            # busybox httpd as process 1 ignores SIGTERM: a stop would cost its whole grace.
            "StopSignal": "SIGKILL",
            "Healthcheck": {
                "Test": [
                    "CMD",
                    "/bin/busybox",
                    "wget",
                    "-q",
                    "-O",
                    "/dev/null",
                    f"http://127.0.0.1:{PORT}/health",
                ],
                "Interval": _SECOND_NS,
                "Timeout": 2 * _SECOND_NS,
                "Retries": 3,
            },
            "Labels": {PAGE_LABEL: page, UNHEALTHY_LABEL: "false" if healthy else "true"},
        },
        architecture,
    )


def assemble(layer: bytes, config: Mapping[str, Any], architecture: str) -> Image:
    """Return the image of one uncompressed ``layer`` with Docker's image ``config``; same in, same bytes."""
    compressed = _compressed(layer)
    described = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created_by": "fleetgrass local/docker/images.py"}],
        },
        sort_keys=True,
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(_CONFIG, described),
            "layers": [_descriptor(_LAYER, compressed)],
        },
        sort_keys=True,
    ).encode()
    return Image(manifest, (described, compressed))


def architecture() -> str:
    """Return this machine's architecture as Docker names it."""
    return docker_architecture(platform.machine())


def push(image: Image, registry: str, repository: str, tags: Sequence[str]) -> None:
    """Push an image to ``registry`` (a URL) under every tag; blobs that are there already are not sent again.

    Raises:
        PushRefused: the registry answered with an error; the message says to what.
    """
    base = f"{registry}/v2/{repository}"
    with requests.Session() as session:
        for blob in image.blobs:
            digest = _digest(blob)
            if session.head(f"{base}/blobs/{digest}", timeout=_TIMEOUT_S).status_code == 200:
                continue
            begun = _accepted(session.post(f"{base}/blobs/uploads/", timeout=_TIMEOUT_S))
            location = requests.compat.urljoin(f"{registry}/", begun.headers["Location"])
            joiner = "&" if "?" in location else "?"
            _accepted(session.put(f"{location}{joiner}digest={digest}", data=blob, timeout=_TIMEOUT_S))
        for tag in tags:
            url, kind = f"{base}/manifests/{tag}", {"Content-Type": MANIFEST}
            _accepted(session.put(url, data=image.manifest, headers=kind, timeout=_TIMEOUT_S))


def layer_of(busybox: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return a tar with ``/bin/busybox``, ``/bin/sh`` and ``files``; no time, no owner but root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in ("bin", "www", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for name, content in {"bin/busybox": busybox, **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if name.startswith("bin/") else 0o644
            tar.addfile(entry, io.BytesIO(content))
        shell = tarfile.TarInfo("bin/sh")
        shell.type, shell.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(shell)
    return buffer.getvalue()


@lru_cache(maxsize=1)  # images that differ in their configuration only
def _compressed(layer: bytes) -> bytes:
    return gzip.compress(layer, mtime=0)


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "size": len(content), "digest": _digest(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _accepted(response: requests.Response) -> requests.Response:
    if not response.ok:
        asked = f"{response.request.method} {response.url}"
        raise PushRefused(f"{asked} was answered {response.status_code}: {response.text[:200]}")
    return response
