"""A control plane on a loopback port, spoken to with boto3's own client."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.greengrass.control_plane.api import Api
from local.greengrass.control_plane.names import Place
from local.greengrass.control_plane.server import Server
from tests.local.greengrass.control_plane.memory_emulator import MemoryEmulator
from tests.local.greengrass.control_plane.requests_as_sdk import ACCOUNT, REGION, client_of


@pytest.fixture
def emulator() -> MemoryEmulator:
    return MemoryEmulator()


@pytest.fixture
def serve(emulator: MemoryEmulator, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Start a control plane over the test's folder; again, and it is the next process on the same state."""
    running: list[Server] = []
    clock = itertools.count(1_790_000_000)

    def start() -> str:
        api = Api(tmp_path / "greengrass", emulator, Place(REGION, ACCOUNT), lambda: float(next(clock)))
        server = Server(0, api)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def greengrass(serve: Callable[[], str]) -> Iterator[Any]:
    client = client_of(serve())
    yield client
    client.close()
