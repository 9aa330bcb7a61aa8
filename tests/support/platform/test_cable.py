import socket
from collections.abc import Iterator

import pytest

from tests.support.platform.cable import Cable


@pytest.fixture
def broker() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener


@pytest.fixture
def cable(broker: socket.socket) -> Iterator[Cable]:
    cable = Cable(broker.getsockname()[1])
    yield cable
    cable.close()


def connected(cable: Cable, broker: socket.socket) -> tuple[socket.socket, socket.socket]:
    device = socket.create_connection(("127.0.0.1", cable.port), timeout=5)
    served, _ = broker.accept()
    served.settimeout(5)
    return device, served


def test_it_carries_both_ways(cable: Cable, broker: socket.socket) -> None:
    device, served = connected(cable, broker)
    with device, served:
        device.sendall(b"ping")
        assert served.recv(9) == b"ping"
        served.sendall(b"pong")
        assert device.recv(9) == b"pong"


def test_while_it_is_cut_neither_end_hears_anything_and_afterwards_all_of_it(
    cable: Cable, broker: socket.socket
) -> None:
    device, served = connected(cable, broker)
    with device, served:
        cable.cut()
        device.sendall(b"ping")
        served.settimeout(0.3)
        with pytest.raises(TimeoutError):
            served.recv(9)

        cable.mend()

        served.settimeout(5)
        assert served.recv(9) == b"ping"


def test_an_end_that_gives_up_is_noticed_by_the_other_once_the_cable_is_mended(
    cable: Cable, broker: socket.socket
) -> None:
    device, served = connected(cable, broker)
    with device:
        cable.cut()
        served.close()
        device.settimeout(0.3)
        with pytest.raises(TimeoutError):
            device.recv(9)

        cable.mend()

        device.settimeout(5)
        assert device.recv(9) == b""


def test_a_new_connection_over_a_cut_cable_fails(cable: Cable) -> None:
    cable.cut()

    with socket.create_connection(("127.0.0.1", cable.port), timeout=5) as device:
        assert device.recv(9) == b""
