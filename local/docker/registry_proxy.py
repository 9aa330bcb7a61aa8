"""The registry proxy that devices pull through. The emulator's registry behind it asks for no login.

It demands ``AWS:<token>`` of GetAuthorizationToken as ECR does, streams what it proxies, and can be told to
deny, to treat every token issued so far as expired, to slow down, or to cut connections in the middle.
"""

import base64
import binascii
import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from local.docker.registry_tokens import read
from local.process.http_server import LoopbackServer

_CHUNK_BYTES = 64 * 1024
_TIMEOUT_S = 60.0
_CONTROL = "/_registry/behaviour"  # PUT a JSON object with the fields of Behaviour


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The proxy's treatment of requests. The default is a registry in good health."""

    deny: bool = False  # every token is refused with 403, as for a role without the permission
    tokens_before_ms: int = 0  # tokens issued before this are refused as expired
    bytes_per_s: int | None = None  # of every blob
    cut_after_bytes: int | None = None  # of every blob, then the connection breaks


@dataclass(slots=True)
class Counts:
    """Counters of the proxy, for tests to look at."""

    refused: int = 0
    manifests: int = 0
    blobs: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str) -> None:
        """Count one more of ``refused``, ``manifests`` or ``blobs``."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)


class RegistryFront:
    """Serves from a thread until ``stop``.

    ``behaviour`` may be replaced at any time, in the middle of a blob too.
    """

    def __init__(
        self, upstream: str, token_key: bytes, port: int = 0, *, now: Callable[[], float] = time.time
    ) -> None:
        """Listen on 127.0.0.1 before ``upstream`` (a URL). Raises OSError when the port is taken."""
        url = urlsplit(upstream)
        self.upstream = (url.hostname or "127.0.0.1", url.port or 80)
        self.token_key = token_key
        self.now = now
        self.behaviour = Behaviour()
        self.counts = Counts()
        self._server = LoopbackServer(port, _Handler, self)
        self.address = self._server.address
        self._server.start()

    def expire_tokens(self) -> None:
        """From now on refuse every token issued so far; new ones are good."""
        self.behaviour = Behaviour(tokens_before_ms=int(self.now() * 1000) + 1)

    def refusal(self, authorization: str) -> tuple[int, str, str] | None:
        """Return ``(status, code, message)`` for credentials that are not good now, None for good ones."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return 401, "UNAUTHORIZED", "Not Authorized"
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return 401, "UNAUTHORIZED", "Not Authorized"
        token = read(self.token_key, password) if user == "AWS" else None
        if token is None:
            return 401, "UNAUTHORIZED", "Not Authorized"
        now_ms = self.now() * 1000
        if token.expires_at_ms <= now_ms or token.issued_at_ms < self.behaviour.tokens_before_ms:
            return 401, "DENIED", "Your authorization token has expired. Reauthenticate and try again."
        if self.behaviour.deny:
            return 403, "DENIED", "not authorized to perform: ecr:BatchGetImage"
        return None

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackServer[RegistryFront]

    @property
    def front(self) -> RegistryFront:
        return self.server.service

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the counts tell tests enough."""

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        """Only the control path is written to: images are pushed to the emulator itself."""
        if self.path != _CONTROL:
            self._refuse(405, "UNSUPPORTED", "this registry front only serves pulls")
            return
        length = int(self.headers.get("Content-Length") or 0)
        try:
            asked = json.loads(self.rfile.read(length))
            if asked.get("expire"):
                self.front.expire_tokens()
            else:
                self.front.behaviour = Behaviour(**asked)
        except (ValueError, TypeError, AttributeError) as error:
            self._refuse(400, "UNSUPPORTED", str(error))
            return
        self._answer(200, b"{}")

    def _serve(self) -> None:
        if self.path != "/v2" and not self.path.startswith("/v2/"):
            self._refuse(404, "NAME_UNKNOWN", "not a registry path")
            return
        refusal = self.front.refusal(self.headers.get("Authorization", ""))
        if refusal:
            self.front.counts.add("refused")
            self._refuse(*refusal)
            return
        for kind in ("manifests", "blobs"):
            if f"/{kind}/" in self.path:
                self.front.counts.add(kind)
        self._proxy()

    def _proxy(self) -> None:
        kept = {k: v for k, v in self.headers.items() if k.lower() in ("accept", "range", "user-agent")}
        upstream = http.client.HTTPConnection(*self.front.upstream, timeout=_TIMEOUT_S)
        try:
            upstream.request(self.command, self.path, headers=kept)
            response = upstream.getresponse()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                    self.send_header(name, value)
            if response.getheader("Content-Length") is None:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self._stream(response)
        except (ConnectionError, TimeoutError, http.client.HTTPException):
            self.close_connection = True
        finally:
            upstream.close()

    def _stream(self, response: http.client.HTTPResponse) -> None:
        sent = 0
        while True:
            behaviour = self.front.behaviour if "/blobs/" in self.path else Behaviour()
            size = min(
                _CHUNK_BYTES, behaviour.bytes_per_s or _CHUNK_BYTES, behaviour.cut_after_bytes or _CHUNK_BYTES
            )
            if not (chunk := response.read(size)):
                return
            if behaviour.cut_after_bytes is not None and sent + len(chunk) > behaviour.cut_after_bytes:
                self.close_connection = True
                return
            self.wfile.write(chunk)
            sent += len(chunk)
            if behaviour.bytes_per_s:
                time.sleep(len(chunk) / behaviour.bytes_per_s)

    def _refuse(self, status: int, code: str, message: str) -> None:
        body: dict[str, Any] = {"errors": [{"code": code, "message": message}]}
        self._answer(status, json.dumps(body).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="fleetgrass",service="ecr.amazonaws.com"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
