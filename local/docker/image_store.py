"""An image registry in memory, for tests and for the registry proxy where there is no emulator."""

import base64
import hashlib
import json
import threading
from collections.abc import Collection, Iterable
from http.server import BaseHTTPRequestHandler

from local.docker.images import MANIFEST, Image
from local.process.http_server import LoopbackServer

_STALL_S = 60


class ImageStore:
    """Serves images by digest, under any repository name, from a thread until ``stop``.

    With a ``login`` (user, password) to those who give it, and to nobody else. Of what has a digest in
    ``stalls_at`` half is sent, and then nothing more.
    """

    def __init__(
        self,
        images: Iterable[Image] = (),
        *,
        login: tuple[str, str] | None = None,
        stalls_at: Collection[str] = (),
    ) -> None:
        self._login = login and f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"
        self._stalls_at = frozenset(stalls_at)
        self.stopping = threading.Event()
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

    def admits(self, authorization: str | None) -> bool:
        """Whether a request with this header is answered."""
        return self._login in (None, authorization)

    def stalls_at(self, digest: str | None) -> bool:
        """Whether what has this digest ends in silence."""
        return digest in self._stalls_at

    def stop(self) -> None:
        """Stop serving."""
        self.stopping.set()
        self._server.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackServer[ImageStore]

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if not self.server.service.admits(self.headers.get("Authorization")):
            self._refuse(401, "UNAUTHORIZED", "Not Authorized")
            return
        if self.path == "/v2/":
            self._answer(200, b"{}", "application/json")
            return
        digest = self.path.rpartition("/")[2]
        content = self.server.service.content(digest)
        if content is None:
            self._refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
            return
        kind = MANIFEST if "/manifests/" in self.path else "application/octet-stream"
        self._answer(200, content, kind, digest)

    do_HEAD = do_GET

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = {"errors": [{"code": code, "message": message}]}
        self._answer(status, json.dumps(body).encode(), "application/json")

    def _answer(self, status: int, content: bytes, kind: str, digest: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="images"')
        self.end_headers()
        if self.command != "GET":
            return
        if self.server.service.stalls_at(digest):
            self.wfile.write(content[: len(content) // 2])
            self.server.service.stopping.wait(_STALL_S)
            return
        self.wfile.write(content)
