"""``python -m tests.crash_points``: kill the agent at every moment of every scenario, and count.

Exhaustive on the fake engine, with one kill and then with two, and so for whole reboots; sampled on a
real one, where one answers at DOCKER_HOST or its default socket. The last line is
``crash points: N in M scenarios, failed: 0``; the exit status is 1 when one failed.
"""

import logging
import secrets
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from edge.engine.docker import DockerEngine
from local.docker.engine import find
from local.docker.images import BUSYBOX
from tests.crash_points import on_docker, reboots
from tests.crash_points.enumeration import Finding, once, twice
from tests.crash_points.scenarios import SCENARIOS
from tests.support.engine.tiny_registry import TinyRegistry

GAPS = (1, 2, 3, 5, 8)  # the next agent's act at which it dies too
REBOOT_GAPS = (3,)  # there with each boot id after each death: four times as many
SAMPLES = 6  # of each scenario on the real engine
SHOWN = 5


def main() -> int:
    """Return the exit status."""
    logging.disable()  # thousands of agents have thousands of setbacks to tell
    points = failed = scenarios = 0
    for name, found in chain(_on_the_fake(), _reboots(), _on_a_real_one()):
        bad = [each for each in found if each.trouble]
        print(f"{name}: {len(found)} crash points, failed: {len(bad)}", flush=True)
        for each in bad[:SHOWN]:
            print(f"  {each}")
        points, failed, scenarios = points + len(found), failed + len(bad), scenarios + 1
    if failed or not points:
        print(f"{failed} of {points} crash points failed", file=sys.stderr)
        return 1
    print(f"crash points: {points} in {scenarios} scenarios, failed: 0")
    return 0


def _on_the_fake() -> Iterator[tuple[str, list[Finding]]]:
    for name, scenario in SCENARIOS.items():
        with tempfile.TemporaryDirectory(prefix="crash-points-") as folder:
            found = chain(once(scenario, Path(folder, "once")), twice(scenario, Path(folder, "twice"), GAPS))
            yield name, list(found)


def _reboots() -> Iterator[tuple[str, list[Finding]]]:
    for name, scenario in reboots.SCENARIOS.items():
        with tempfile.TemporaryDirectory(prefix="crash-points-") as folder:
            found = chain(
                reboots.once(scenario, Path(folder, "once")),
                reboots.twice(scenario, Path(folder, "twice"), REBOOT_GAPS),
            )
            yield name, list(found)


def _on_a_real_one() -> Iterator[tuple[str, list[Finding]]]:
    host = find()
    if host is None or not BUSYBOX.exists():
        print("no Docker Engine answers, or there is no busybox to make images of: none on a real one")
        return
    engine, registry = (
        DockerEngine({"DOCKER_HOST": host}),
        TinyRegistry(BUSYBOX.read_bytes(), secrets.token_hex(8)),
    )
    for name in on_docker.SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="crash-points-") as folder:
            found = on_docker.sampled(engine, registry, Path(folder), name, SAMPLES)
            yield f"Docker Engine {engine.information().version}, {name}", list(found)
    registry.stop()
    engine.close()


if __name__ == "__main__":
    sys.exit(main())
