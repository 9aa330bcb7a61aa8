"""The HTTP front of the control plane, on loopback."""

import json
import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from local.greengrass.control_plane.api import Api

log = logging.getLogger(__name__)
MAX_BODY = 4 << 20


class Server(ThreadingHTTPServer):
    """Serves an Api on 127.0.0.1; ``port`` 0 takes a free one (see ``server_port``)."""

    daemon_threads = True

    def __init__(self, port: int, api: Api) -> None:
        self.api = api
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = self.headers.get("Content-Length") or "0"
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            self.send_error(413)
            return
        body = self.rfile.read(int(length))
        who = self.headers.get("x-principal-arn") or "unknown"
        answer = self.server.api.answer(self.command, self.path, body, who)
        content = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if answer.error is not None:
            self.send_header("x-amzn-ErrorType", answer.error)
        self.end_headers()
        self.wfile.write(content)
        log.info("answered: method=%s path=%s status=%s who=%s", self.command, self.path, answer.status, who)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing here: ``_serve`` logs each request once."""
