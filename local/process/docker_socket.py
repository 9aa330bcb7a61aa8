"""Ping of a Docker Engine, without the SDK."""

import http.client
import socket
from urllib.parse import urlsplit

_TIMEOUT_S = 3.0


def answers(docker_host: str) -> bool:
    """Whether an engine answers ``GET /_ping`` at ``unix:///path`` or ``tcp://host:port``."""
    url = urlsplit(docker_host)
    connection: http.client.HTTPConnection
    if url.scheme == "unix":
        connection = _UnixConnection(url.path)
    elif url.scheme in ("tcp", "http") and url.hostname:
        connection = http.client.HTTPConnection(url.hostname, url.port or 2375, timeout=_TIMEOUT_S)
    else:
        return False
    try:
        connection.request("GET", "/_ping")
        with connection.getresponse() as response:
            response.read()
            return response.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
