"""``python -m local.docker.memory_engine --socket PATH``: the simulated engine until SIGTERM or SIGINT."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from local.docker.memory_engine.engine import MemoryEngine
from local.docker.memory_engine.server import MemoryEngineServer


def main() -> int:
    """Return the exit status: 0 after a signal, 1 when the socket cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m local.docker.memory_engine", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="where to listen; must not exist yet")
    socket: Path = parser.parse_args().socket
    try:
        server = MemoryEngineServer(socket, MemoryEngine())
    except OSError as error:
        print(f"cannot listen at {socket}: {error.strerror}", file=sys.stderr)
        return 1
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server.start()
    print(f"simulated Docker Engine: DOCKER_HOST=unix://{socket}", flush=True)
    ended.wait()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
