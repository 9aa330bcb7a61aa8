"""``python -m local.greengrass.nucleus FOLDER``: one core device until SIGTERM."""

import argparse
import logging
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from local.greengrass.nucleus.device import Device, Folder
from local.greengrass.nucleus.power import Machine


def main() -> int:
    """Run the device of the folder named on the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.greengrass.nucleus", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = Folder(parser.parse_args().folder.resolve())
    try:
        device = Device.model_validate_json(folder.device.read_bytes())
    except OSError as error:
        print(f"cannot read {folder.device}: {error.strerror}", file=sys.stderr)
        return 2
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        print(f"{folder.device}: {where}: {first['msg']}", file=sys.stderr)
        return 2
    (folder.root / "logs").mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=folder.log("greengrass"),
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    machine = Machine(device, folder)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: machine.turn_off())
    machine.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
