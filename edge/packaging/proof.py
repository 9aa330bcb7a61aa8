"""Proof of a version, run on the device before anything is replaced by it.

Run by ``install.py`` with the new virtualenv's Python: imports every module and reads the recipe's default
configuration, and connects to nothing. A nucleus checks a started component once, so that a deployment
succeeds although the component dies a moment later; only a failed install is rolled back.
"""

import importlib
import json
import pkgutil
import sys
import traceback
from pathlib import Path

DEFAULTS = "defaults.json"  # the recipe's default configuration, put beside the code by the build


def prove(version: Path) -> int:
    """Return how many modules of ``version`` were imported; whatever fails is raised as it is."""
    sys.path.insert(0, str(version))
    imported = 0
    for name in ("contract", "edge"):
        package = importlib.import_module(name)
        if not Path(str(package.__file__)).is_relative_to(version):
            raise ImportError(f"{name} is imported from {package.__file__}")
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
            imported += 1
    from edge.configuration.settings import Settings

    Settings.model_validate(json.loads((version / DEFAULTS).read_text()))
    return imported


def main() -> int:
    """Prove the version that this file belongs to; an error is the last line on standard error."""
    try:
        print(f"proof: {prove(Path(__file__).resolve().parents[2])} modules")
    except Exception as error:  # noqa: BLE001 - whatever it is, this version does not work here
        traceback.print_exc()
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
