"""HTTP server on 127.0.0.1, in a thread: the platform's small services are served by it."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Generic, TypeVar

Service = TypeVar("Service")


class LoopbackServer(ThreadingHTTPServer, Generic[Service]):
    """Serves ``handler`` between ``start`` and ``stop``; handlers find ``service`` on ``self.server``."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler], service: Service) -> None:
        """Listen; port 0 picks a free one. Raises OSError when the port is taken."""
        super().__init__(("127.0.0.1", port), handler)
        self.service = service
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.05,), name=self.address, daemon=True
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and close the port."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error; anything else is shown."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)  # type: ignore[arg-type]
