"""``python -m bench``: measure both sides beside their floors and peers, and print the table.

The whole takes some minutes; ``--only`` names rows by their beginning. ``--write`` keeps the figures
in ``bench/results.json``.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench import authorizing, calls, crashes, handlers, ingestion, lives, processes, pulls, warm
from bench.lab import Lab, lab
from bench.rows import Row, merged, table
from bench.sides import BenchFailed
from local.docker.engine import EngineUnavailable, busybox, obtain

RESULTS = Path(__file__).with_name("results.json")
_COUNT = 20
_PASSES = 10_000

Measure = Callable[[Lab, int], Sequence[Row]]
#: The rows that are measured together, and how, in how many rounds: in the cloud, where nothing is needed,
_IN_THE_CLOUD: Mapping[tuple[str, ...], Callable[[Sequence[str], int], Sequence[Row]]] = {
    ("import-authorize",): lambda _, rounds: [authorizing.importing(rounds)],
    ("warm-authorize",): lambda _, rounds: [authorizing.deciding(rounds)],
    handlers.IMPORTS: handlers.importing,
    warm.WARM: warm.answering,
    ("dynamodb-calls",): lambda *_: [calls.count()],
    ("ingestion",): lambda _, rounds: [ingestion.ingest(rounds)],
}
#: and on a device, where an engine is.
_ON_A_DEVICE: Mapping[tuple[str, ...], Measure] = {
    ("up-20", "noop-20", "change-1-of-20", "down-20"): lambda lab, rounds: lives.compare(lab, _COUNT, rounds),
    ("down-20-deaf",): lambda lab, rounds: [lives.remove_deaf(lab, _COUNT, rounds)],
    ("pull-100mb",): lambda lab, rounds: [pulls.pull(lab, rounds)],
    ("agent-rss", "agent-rss-flat"): lambda lab, rounds: processes.memory(lab, _COUNT, rounds, _PASSES),
    ("agent-ready",): lambda lab, rounds: [processes.ready(lab, rounds)],
    ("crash-report",): lambda lab, rounds: [crashes.report(lab, rounds)],
}


def main(arguments: Sequence[str]) -> int:
    """Return 0 when every row that was measured reached its target."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of each row (5)")
    parser.add_argument("--only", nargs="+", default=[""], metavar="ROW", help="rows that begin so")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in bench/{RESULTS.name}")
    wanted = parser.parse_args(arguments)
    rows: list[Row] = []

    def keep(found: Sequence[Row]) -> None:
        rows.extend(found)
        if wanted.write:
            _keep(found)

    def chosen(ids: Sequence[str]) -> list[str]:
        return [each for each in ids if each.startswith(tuple(wanted.only))]

    try:
        for ids, compute in _IN_THE_CLOUD.items():
            if these := chosen(ids):
                keep(compute(these, wanted.rounds))
        if any(chosen(ids) for ids in _ON_A_DEVICE):
            _measure_on_a_device(chosen, wanted.rounds, keep)
    except (BenchFailed, EngineUnavailable) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    return 0 if all(row.ok for row in rows) else 1


def _measure_on_a_device(
    chosen: Callable[[Sequence[str]], list[str]], rounds: int, keep: Callable[[Sequence[Row]], None]
) -> None:
    engine = obtain(lambda line: print(line, file=sys.stderr))
    try:
        with lab(engine.docker_host, busybox()) as ready:
            for ids, measure in _ON_A_DEVICE.items():
                if chosen(ids):
                    keep(measure(ready, rounds))
    finally:
        engine.stop()


def _keep(rows: Sequence[Row]) -> None:
    """Write rows down as soon as they are known: the whole takes minutes."""
    RESULTS.write_text(merged(RESULTS.read_text() if RESULTS.exists() else "", rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
