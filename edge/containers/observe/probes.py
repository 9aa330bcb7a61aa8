"""Health probes from outside a container: an HTTP request, or a TCP connection."""

import http.client
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from contract.applications import HttpHealthCheck, TcpHealthCheck
from edge.containers.plan.health import Probed

#: ``(address, port, path, timeout_s)`` → the HTTP status, or OSError.
HttpProbe = Callable[[str, int, str, float], int]
#: ``(address, port, timeout_s)`` → nothing, or OSError.
TcpProbe = Callable[[str, int, float], None]


def http_probe(address: str, port: int, path: str, timeout_s: float) -> int:
    """Return the status that ``GET http://address:port/path`` answers; follows no redirect.

    Raises:
        OSError: no answer within ``timeout_s``, or none that is HTTP.
    """
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"User-Agent": "fleetgrass", "Connection": "close"})
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise OSError(f"not an HTTP answer: {type(error).__name__}") from error
    finally:
        connection.close()


def tcp_probe(address: str, port: int, timeout_s: float) -> None:
    """Connect and go away again.

    Raises:
        OSError: the connection was not accepted within ``timeout_s``.
    """
    socket.create_connection((address, port), timeout=timeout_s).close()


@dataclass(frozen=True, slots=True)
class Prober:
    """Makes the checks that are this agent's; in worker threads."""

    http_probe: HttpProbe = http_probe
    tcp_probe: TcpProbe = tcp_probe

    def complaint(self, check: Probed, address: str) -> str:
        """Return what is wrong with the container at ``address``, in words; empty when nothing is."""
        match check:
            case HttpHealthCheck(port=port, path=path):
                what = f"GET {path} on port {port}"
                try:
                    status = self.http_probe(address, port, path, check.timeout_s)
                except OSError as error:
                    return f"{what} did not answer ({error})"
                return "" if 200 <= status < 400 else f"{what} answered {status}"
            case TcpHealthCheck(port=port):
                try:
                    self.tcp_probe(address, port, check.timeout_s)
                except OSError as error:
                    return f"port {port} takes no connection ({error})"
                return ""
            case _:
                assert_never(check)
