"""``python -m local.greengrass.control_plane``: serve the control plane until SIGTERM."""

import argparse
import logging
import signal
import sys
import threading
import time
from pathlib import Path

from local.greengrass.control_plane.api import Api
from local.greengrass.control_plane.emulator import AwsEmulator
from local.greengrass.control_plane.names import Place
from local.greengrass.control_plane.server import Server


def main() -> int:
    """Parse the arguments, serve, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.greengrass.control_plane", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--endpoint-url", required=True, help="the emulator, for IoT Jobs and S3")
    parser.add_argument(
        "--folder", type=Path, required=True, help="where components and deployments are kept"
    )
    parser.add_argument("--region", default="eu-west-1")
    parser.add_argument("--account", default="000000000000")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")

    place = Place(options.region, options.account)
    api = Api(options.folder, AwsEmulator(options.endpoint_url, options.region), place, time.time)
    try:
        server = Server(options.port, api)
    except OSError as error:
        print(f"greengrass_cloud: port {options.port}: {error.strerror}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    logging.getLogger(__name__).info("serving: port=%s", server.server_port)
    server.serve_forever()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
