"""HTTP server of a simulated container: the page of its image's labels, on loopback."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from local.docker.images import PAGE_LABEL, UNHEALTHY_LABEL
from local.docker.memory_engine.images import StoredImage

EXIT = "io.fleetgrass.sample.exit"  # the process ends at once, with this code


class PortAllocated(Exception):
    """Somebody listens at the address already."""


class Page:
    """Answers ``/`` with the image's page and ``/health`` with 200, or 503 for an unhealthy sample."""

    def __init__(self, image: StoredImage) -> None:
        self._text = image.labels.get(PAGE_LABEL, "simulated container").encode() + b"\n"
        self._healthy = image.labels.get(UNHEALTHY_LABEL) != "true"
        self._servers: list[_Server] = []

    def listen(self, address: str, port: int) -> int:
        """Answer at ``address:port`` (0: any) and return the port.

        Raises:
            PortAllocated: the port is taken; what listened before goes on.
        """
        try:
            server = _Server((address, port), _Handler)
        except OSError as error:
            raise PortAllocated(f"Bind for {address}:{port} failed: port is already allocated") from error
        server.text, server.healthy = self._text, self._healthy
        self._servers.append(server)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return int(server.server_address[1])

    def end(self) -> None:
        """Answer nowhere any more."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers.clear()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    text = b""
    healthy = True


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a page that was fetched is no news."""

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, b"ok\n") if self.server.healthy else self._answer(503, b"unhealthy\n")
        elif self.path == "/":
            self._answer(200, self.server.text)
        else:
            self._answer(404, b"not found\n")

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
