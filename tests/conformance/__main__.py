"""``python -m tests.conformance``: the platform, brought up and seeded, held against docs/openapi.json.

Ends with ``operations: N, failures: 0`` only when there were none, and when at least half of the
operations gave a 2xx.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from local.platform import Platform
from tests.conformance.running import ConformanceFailed, Found, run, seed


def verdict(found: Found) -> list[str]:
    """Return what speaks against the API, in one line each."""
    against = list(found.failures)
    if 2 * len(found.succeeded) < found.operations:
        against.append(f"only {len(found.succeeded)} of {found.operations} operations gave a 2xx")
    if not found.operations:
        against.append("nothing was tested")
    return against


def main(arguments: Sequence[str]) -> int:
    """Return 0 when the API is what its document says."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--max-examples", type=int, default=20, help="cases of each operation and phase (20)")
    parser.add_argument("--max-time-s", type=int, default=2400, help="give up after this long (2400)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fleetgrass-conformance-") as folder:
        try:
            with Platform.start(Path(folder) / "platform", engine="memory", say=print) as platform:
                seeds = seed(platform)
                print(f"seeded: {', '.join(f'{name}={len(each)}' for name, each in seeds.items())}")
                found = run(
                    platform, seeds, Path(folder) / "run",
                    max_examples=options.max_examples, max_time_s=options.max_time_s,
                )  # fmt: skip
        except ConformanceFailed as error:
            print(f"conformance: {error}", file=sys.stderr)
            return 2
    against = verdict(found)
    for line in against:
        print(line)
    if against:
        print(f"operations: {found.operations}, failed: {len(against)}", file=sys.stderr)
        return 1
    print(f"operations with a 2xx: {len(found.succeeded)}")
    print(f"operations: {found.operations}, failures: 0")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
