"""A gate in front of a nucleus' socket that holds answers back, as a nucleus does that cannot give them."""

import socket
import threading
from pathlib import Path

from local.greengrass.nucleus.eventstream import Decoder, encode

SUBSCRIBE = "aws.greengrass#SubscribeToIoTCore"
PUBLISH = "aws.greengrass#PublishToIoTCore"


class Gate:
    """Lets everything through but what the nucleus says on the streams of the operations in ``holds``."""

    def __init__(self, path: Path, nucleus: Path) -> None:
        self.path = path
        self.holds: set[str] = set()
        self.asked: list[str] = []  # each operation that was called
        self._nucleus = nucleus
        self._lock = threading.Lock()
        self._operations: dict[int, str] = {}  # by stream
        self._held: list[tuple[socket.socket, bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def open(self) -> None:
        """Let through what was held back, and hold nothing any more."""
        with self._lock:
            self.holds.clear()
            for to, frame in self._held:
                to.sendall(frame)
            self._held.clear()

    def close(self) -> None:
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            nucleus = socket.socket(socket.AF_UNIX)
            nucleus.connect(str(self._nucleus))
            self._sockets += [client, nucleus]
            threading.Thread(target=self._pump, args=(client, nucleus), daemon=True).start()
            threading.Thread(target=self._pump, args=(nucleus, client), daemon=True).start()

    def _pump(self, source: socket.socket, to: socket.socket) -> None:
        decoder = Decoder()
        try:
            while data := source.recv(65_536):
                for message in decoder.feed(data):
                    stream, operation = message.headers.get(":stream-id"), message.headers.get("operation")
                    frame = encode(message)
                    with self._lock:
                        if isinstance(operation, str) and isinstance(stream, int):
                            self._operations[stream] = operation
                            self.asked.append(operation)
                        elif isinstance(stream, int) and self._operations.get(stream) in self.holds:
                            self._held.append((to, frame))
                            continue
                        to.sendall(frame)
            to.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
