"""A row of the bench: what was measured beside which reference, and whether that is good enough.

Machines wobble by a third, so a figure is a ratio of medians of interleaved rounds, never a number of
seconds that a test could assert; the counts beside it do not wobble.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Self


@dataclass(frozen=True, slots=True)
class Target:
    """What a row must reach: ``ours`` at most ``ratio`` times ``reference``, and the counts given exactly."""

    id: str
    what: str
    against: str
    ratio: float
    unit: str = "ms"
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and under which load a row was measured."""

    cores: int
    load_1m: float
    engine: str

    @classmethod
    def without_engine(cls) -> Self:
        """Return this machine as it is now, for a row that needs no engine."""
        return cls(os.cpu_count() or 1, round(os.getloadavg()[0], 1), "none")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of ``bench/results.json``. Figures are medians in ``unit``."""

    id: str
    what: str
    against: str
    unit: str
    ours: float
    reference: float
    ratio: float
    target: float
    ok: bool
    rounds: int
    counts: Mapping[str, int]
    machine: Machine


def judge(
    target: Target,
    ours: Sequence[float],
    reference: Sequence[float],
    counts: Mapping[str, int],
    machine: Machine,
) -> Row:
    """Return the row of ``target`` from the figures of each round, which must be as many on both sides."""
    mine, theirs = median(ours), median(reference)
    ratio = mine / theirs
    exact = all(counts.get(name) == wanted for name, wanted in target.counts.items())
    return Row(
        id=target.id,
        what=target.what,
        against=target.against,
        unit=target.unit,
        ours=round(mine, 2),
        reference=round(theirs, 2),
        ratio=round(ratio, 3),
        target=target.ratio,
        ok=ratio <= target.ratio and exact,
        rounds=min(len(ours), len(reference)),
        counts=dict(counts),
        machine=machine,
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text, one line each."""
    heads = ("id", "ours", "reference", "ratio", "target", "", "rounds", "against", "counts")
    lines = [heads, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def merged(before: str, rows: Sequence[Row]) -> str:
    """Return ``before`` (a results file, or nothing) with ``rows`` in the place of those with the same id."""
    kept = json.loads(before) if before else []
    fresh = {row.id: asdict(row) for row in rows}
    lines = [fresh.pop(line["id"], line) for line in kept]
    return json.dumps([*lines, *fresh.values()], indent=2) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    counts = " ".join(f"{name}={count}" for name, count in row.counts.items())
    return (
        row.id,
        f"{row.ours:g} {row.unit}",
        f"{row.reference:g} {row.unit}",
        f"{row.ratio:.2f}×",
        f"≤ {row.target:g}×",
        "ok" if row.ok else "MISSED",
        str(row.rounds),
        row.against,
        counts,
    )
