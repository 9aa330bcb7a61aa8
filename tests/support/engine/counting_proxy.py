"""A Unix socket before an engine's that passes everything on and counts the HTTP requests."""

import re
import socket
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path

_REQUEST = re.compile(rb"^(GET|HEAD|POST|DELETE) (/\S*) HTTP/1\.1\r$", re.MULTILINE)


class CountingProxy(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """``requests`` is what clients asked of ``upstream`` until now, as ``METHOD /path``.

    ``before`` sees each first and says whether the engine gets it.
    """

    daemon_threads = True
    request_queue_size = 128  # clients that start many containers connect many times at once

    def __init__(self, path: Path, upstream: str) -> None:
        super().__init__(str(path), _Passing)
        self.host, self.upstream = f"unix://{path}", upstream.removeprefix("unix://")
        self.requests: list[str] = []
        self.before: Callable[[str], bool] = lambda _: True
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Passing(socketserver.BaseRequestHandler):
    server: CountingProxy

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self.server.upstream)
            back = threading.Thread(target=_pass_on, args=(engine, self.request), daemon=True)
            back.start()
            while asked := self._asked():
                found = [f"{method.decode()} {path.decode()}" for method, path in _REQUEST.findall(asked)]
                self.server.requests += found
                if not all(map(self.server.before, found)):
                    break
                engine.sendall(asked)
            engine.shutdown(socket.SHUT_WR)
            back.join(5)

    def _asked(self) -> bytes:
        """Return what the client says next; nothing when it hung up or was killed."""
        try:
            return bytes(self.request.recv(65536))
        except ConnectionError:
            return b""


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while answered := source.recv(65536):
            target.sendall(answered)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
