"""``python -m tests.conformance``: the platform, brought up and seeded, held against docs/openapi.json.

Ends with ``operations: N, failures: 0`` only when there were none, when every operation was tried and at
least half of them gave a 2xx, and when links were followed.
"""

import argparse
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from local.demo.api_client import Api
from local.platform import DEVICES, Platform
from tests.conformance.running import OPERATIONS, ConformanceFailed, run, seed


def main(arguments: Sequence[str]) -> int:
    """Return 0 when the API is what its document says."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--max-examples", type=int, default=20, help="cases of each operation and phase (20)")
    parser.add_argument("--max-time-s", type=int, default=2400, help="give up after this long (2400)")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="of an earlier run")
    options = parser.parse_args(arguments)
    numbers = {name: getattr(options, name) for name in ("max_examples", "seed")}
    with tempfile.TemporaryDirectory(prefix="fleetgrass-conformance-") as folder:
        try:
            with Platform.start(Path(folder) / "platform", engine="memory", say=print) as platform:
                token, [group] = platform.token("Fleet.Admin"), {*DEVICES.values()}
                devices = sorted(platform.devices)
                seeds = seed(Api(platform.api_url, token), devices, group, loose=devices[-1])
                print(f"seeded: {', '.join(f'{name}={len(each)}' for name, each in seeds.items())}")
                print(f"asking, with seed {options.seed}", flush=True)
                found = run(
                    platform.api_url, token, seeds, Path(folder) / "run", max_time_s=options.max_time_s,
                    options=[f"--{name.replace('_', '-')}={number}" for name, number in numbers.items()],
                )  # fmt: skip
        except ConformanceFailed as error:
            print(f"conformance: {error}", file=sys.stderr)
            return 2
    against = found.against()
    for line in against:
        print(line)
    if against:
        print(f"operations: {OPERATIONS}, failures: {len(against)}", file=sys.stderr)
        return 1
    requests = sum(sum(by.values()) for by in found.answers.values())
    print(f"requests: {requests}, links followed: {found.links_followed}")
    print(f"operations with a 2xx: {len(found.succeeded)}")
    print(f"operations: {OPERATIONS}, failures: 0")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
