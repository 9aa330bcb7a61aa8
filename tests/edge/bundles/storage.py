"""A storage on loopback that takes presigned uploads, or does not."""

from http.server import BaseHTTPRequestHandler

from local.process.http_server import LoopbackServer


class Storage:
    """Answers each PUT with the next of ``answers``, and 200 when there are no more."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.taken: list[tuple[str, dict[str, str], bytes]] = []  # path, headers, body
        self._server = LoopbackServer(0, _Handler, self)
        self._server.start()
        self.url = f"http://{self._server.address}/bundle?X-Amz-Signature=5ec4e7"

    def stop(self) -> None:
        self._server.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackServer[Storage]

    def log_message(self, format: str, *args: object) -> None: ...

    def do_PUT(self) -> None:
        storage = self.server.service
        body = self.rfile.read(int(self.headers["Content-Length"]))
        storage.taken.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status = storage.answers.pop(0) if storage.answers else 200
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Location", "/elsewhere")
        self.end_headers()
