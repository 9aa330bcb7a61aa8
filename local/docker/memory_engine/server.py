"""Docker's HTTP API on a Unix socket, as far as the docker SDK, the agent and the demo use it."""

import contextlib
import json
import re
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from local.docker.memory_engine.engine import API_VERSION, VERSION, MemoryEngine, Refused
from local.docker.memory_engine.images import login_of

_VERSION_PREFIX = re.compile(r"^/v1\.\d+(?=/)")


class MemoryEngineServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves an engine at ``socket``, which must not exist, between ``start`` and ``stop``."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, socket: Path, engine: MemoryEngine) -> None:
        """Listen. Raises OSError when there is something at ``socket``."""
        super().__init__(str(socket), _Handler)
        socket.chmod(0o600)
        self.socket_path, self.engine = socket, engine

    def start(self) -> None:
        """Begin to answer, from a thread."""
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """End every container, stop answering and remove the socket."""
        self.shutdown()
        self.server_close()
        self.engine.close()
        self.socket_path.unlink(missing_ok=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = f"Docker/{VERSION}"
    server: MemoryEngineServer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the agent's own log tells what it asked."""

    def address_string(self) -> str:
        return "unix"

    def do_GET(self) -> None:
        self._route()

    do_HEAD = do_POST = do_DELETE = do_GET

    def _route(self) -> None:
        url = urlsplit(self.path)
        path = _VERSION_PREFIX.sub("", unquote(url.path))
        self._query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        self._body = self.rfile.read(length) if length else b""
        try:
            for method, pattern, operation in _ROUTES:
                matched = pattern.fullmatch(path)
                if matched and method == self.command:
                    operation(self, *matched.groups())
                    return
            raise Refused(404, f"page not found: the simulated engine has no {self.command} {path}")
        except Refused as refusal:
            self._answer(refusal.status, {"message": str(refusal)})
        except (ValueError, KeyError, TypeError) as error:
            self._answer(400, {"message": f"invalid request: {type(error).__name__}: {error}"})

    def _answer(self, status: int, content: Any = None) -> None:
        text = isinstance(content, str)
        encoded = b"" if content is None else content.encode() if text else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Api-Version", API_VERSION)
        if status not in (204, 304):
            self.send_header("Content-Type", "text/plain" if text else "application/json")
            self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(encoded)

    def ping(self) -> None:
        self._answer(200, "OK")

    def version(self) -> None:
        self._answer(
            200,
            {
                "Version": VERSION,
                "ApiVersion": API_VERSION,
                "MinAPIVersion": "1.24",
                "Os": "linux",
                "Arch": self.server.engine.information()["Architecture"],
                "Components": [],
            },
        )

    def info(self) -> None:
        self._answer(200, self.server.engine.information())

    def events(self) -> None:
        """Stream what happens until the engine ends or the client is found gone."""
        filters = json.loads(self._query.get("filters", "{}"))
        with self.server.engine.happenings(filters) as happenings:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for event in happenings:
                    line = json.dumps(event).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.write(b"0\r\n\r\n")

    def list_containers(self) -> None:
        filters = json.loads(self._query.get("filters", "{}"))
        everything = self._query.get("all", "0").lower() in ("1", "true")
        self._answer(200, self.server.engine.containers(filters, everything=everything))

    def create(self) -> None:
        created = self.server.engine.create(self._query.get("name", ""), json.loads(self._body))
        self._answer(201, {"Id": created, "Warnings": []})

    def inspect(self, name: str) -> None:
        self._answer(200, self.server.engine.inspect(name))

    def logs(self, name: str) -> None:
        self.server.engine.inspect(name)  # or it is refused
        self._answer(200, "")  # no process, no output

    def stats(self, name: str) -> None:
        runs = self.server.engine.inspect(name)["State"]["Running"]
        # No process, so nothing to measure; the numbers only have their places.
        used = {"memory_stats": {"usage": 1 << 20}, "cpu_stats": {"cpu_usage": {"total_usage": 0}}}
        self._answer(200, used if runs else {"memory_stats": {}, "cpu_stats": {}})

    def start(self, name: str) -> None:
        self._answer(204 if self.server.engine.start(name) else 304)

    def stop(self, name: str) -> None:
        self._answer(204 if self.server.engine.stop(name) else 304)

    def kill(self, name: str) -> None:
        self.server.engine.kill(name)
        self._answer(204)

    def rename(self, name: str) -> None:
        self.server.engine.rename(name, self._query["name"])
        self._answer(204)

    def remove(self, name: str) -> None:
        self.server.engine.remove(name, force=self._query.get("force", "0").lower() in ("1", "true"))
        self._answer(204)

    def list_volumes(self) -> None:
        filters = json.loads(self._query.get("filters", "{}"))
        self._answer(200, {"Volumes": self.server.engine.volumes(filters), "Warnings": []})

    def remove_volume(self, name: str) -> None:
        self.server.engine.remove_volume(name)
        self._answer(204)

    def list_images(self) -> None:
        self._answer(200, self.server.engine.images())

    def inspect_image(self, reference: str) -> None:
        self._answer(200, self.server.engine.image(reference))

    def remove_image(self, reference: str) -> None:
        self.server.engine.remove_image(reference)
        self._answer(200, [{"Deleted": reference}])

    def pull(self) -> None:
        login = login_of(self.headers.get("X-Registry-Auth"))
        self.server.engine.pull(self._query["fromImage"], self._query.get("tag") or "latest", login)
        self._answer(200, {"status": f"Status: Downloaded newer image for {self._query['fromImage']}"})


_Operation = Callable[..., None]
_ROUTES: tuple[tuple[str, re.Pattern[str], _Operation], ...] = tuple(
    (method, re.compile(pattern), operation)
    for method, pattern, operation in (
        ("GET", "/_ping", _Handler.ping),
        ("HEAD", "/_ping", _Handler.ping),
        ("GET", "/version", _Handler.version),
        ("GET", "/info", _Handler.info),
        ("GET", "/events", _Handler.events),
        ("GET", "/containers/json", _Handler.list_containers),
        ("POST", "/containers/create", _Handler.create),
        ("GET", "/containers/([^/]+)/json", _Handler.inspect),
        ("GET", "/containers/([^/]+)/logs", _Handler.logs),
        ("GET", "/containers/([^/]+)/stats", _Handler.stats),
        ("POST", "/containers/([^/]+)/start", _Handler.start),
        ("POST", "/containers/([^/]+)/stop", _Handler.stop),
        ("POST", "/containers/([^/]+)/kill", _Handler.kill),
        ("POST", "/containers/([^/]+)/rename", _Handler.rename),
        ("DELETE", "/containers/([^/]+)", _Handler.remove),
        ("GET", "/volumes", _Handler.list_volumes),
        ("DELETE", "/volumes/([^/]+)", _Handler.remove_volume),
        ("GET", "/images/json", _Handler.list_images),
        ("GET", "/images/(.+)/json", _Handler.inspect_image),
        ("DELETE", "/images/(.+)", _Handler.remove_image),
        ("POST", "/images/create", _Handler.pull),
    )
)
