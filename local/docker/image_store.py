"""An image registry in memory, without a login, for the registry proxy where there is no emulator."""

import hashlib
import json
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler

from local.docker.images import MANIFEST, Image
from local.process.http_server import LoopbackServer


class ImageStore:
    """Serves images by digest, under any repository name, from a thread until ``stop``."""

    def __init__(self, images: Iterable[Image] = ()) -> None:
        self._contents: dict[str, bytes] = {}
        for image in images:
            self.add(image)
        self._server = LoopbackServer(0, _Handler, self)
        self.address = self._server.address
        self._server.start()

    def add(self, image: Image) -> None:
        """Serve ``image`` too."""
        for content in (image.manifest, *image.blobs):
            self._contents[f"sha256:{hashlib.sha256(content).hexdigest()}"] = content

    def content(self, digest: str) -> bytes | None:
        """Return the blob or manifest of that digest."""
        return self._contents.get(digest)

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackServer[ImageStore]

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path == "/v2/":
            self._answer(200, b"{}", "application/json")
            return
        digest = self.path.rpartition("/")[2]
        content = self.server.service.content(digest)
        if content is None:
            body = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            self._answer(404, json.dumps(body).encode(), "application/json")
            return
        kind = MANIFEST if "/manifests/" in self.path else "application/octet-stream"
        self._answer(200, content, kind, digest)

    do_HEAD = do_GET

    def _answer(self, status: int, content: bytes, kind: str, digest: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
