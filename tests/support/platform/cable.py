"""A device's network cable (a TCP proxy): all between it and the broker passes through, until it is cut.

Cut, not closed: neither end is told, as when a switch loses its power. What was under way arrives when the
cable is mended, as TCP would have it, unless an end gave the connection up meanwhile.
"""

import contextlib
import socket
import threading

_CHUNK = 65_536
_ACCEPT_S = 0.2


class Cable:
    """Relays TCP connections from ``port`` of 127.0.0.1 to the broker's port."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._whole = threading.Event()
        self._whole.set()
        self._closed = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_ACCEPT_S)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="cable", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Let nothing through any more, in either direction; new connections fail."""
        self._whole.clear()

    def mend(self) -> None:
        """Let everything through again."""
        self._whole.set()

    def close(self) -> None:
        """End every connection and give the port back. Idempotent."""
        self._closed.set()
        self._whole.set()
        self._thread.join()
        self._listener.close()
        for end in list(self._sockets):
            _end(end)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                device, _ = self._listener.accept()
            except TimeoutError:
                continue
            try:
                if not self._whole.is_set():
                    raise OSError("the cable is cut")
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
            except OSError:
                device.close()
                continue
            device.settimeout(None)
            self._sockets |= {device, broker}
            for ends in ((device, broker), (broker, device)):
                threading.Thread(target=self._pass_on, args=ends, name="cable", daemon=True).start()

    def _pass_on(self, giver: socket.socket, taker: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := giver.recv(_CHUNK):
                self._whole.wait()
                taker.sendall(data)
        self._whole.wait()
        for end in (giver, taker):
            _end(end)
            self._sockets.discard(end)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
