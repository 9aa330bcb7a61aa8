"""Containers coming up, staying, changing and going: ours and Compose's in turns; and a deaf fleet."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.lab import OWNERS, Lab
from bench.rows import Row, Target, judge
from bench.sides import BenchFailed, Compose, Ours, Side
from contract.defaults import STOP_GRACE_S
from tests.support.engine.counting_proxy import CountingProxy

_PEER = "docker compose"
#: What a life is measured at, in its order.
UP, NOOP, CHANGE, DOWN = "up", "noop", "change", "down"


def targets(count: int) -> Mapping[str, Target]:
    """Return the target of each stage with ``count`` containers."""
    return {
        NOOP: Target(f"noop-{count}", f"no-op pass, {count} running", _PEER, 0.1, counts={"requests": 1}),
        CHANGE: Target(f"change-1-of-{count}", f"one new image among {count}", _PEER, 0.95),
        UP: Target(f"up-{count}", f"{count} from present images", _PEER, 1.0),
        DOWN: Target(f"down-{count}", f"remove {count}", _PEER, 1.1),
    }


def compare(lab: Lab, count: int, rounds: int) -> list[Row]:
    """Return a row per stage from ``rounds`` lives of each side in turns, and one more for its requests."""
    figures: dict[tuple[type[Side], str], list[float]] = defaultdict(list)
    for number in range(rounds):
        order: tuple[type[Ours] | type[Compose], ...] = (Ours, Compose) if number % 2 else (Compose, Ours)
        for kind in order:
            for stage, took_ms in _live(lab, kind, lab.docker_host, count, _milliseconds).items():
                figures[kind, stage].append(took_ms)
    counts = {kind: _requests(lab, kind, count) for kind in (Ours, Compose)}
    return [
        judge(
            target,
            figures[Ours, stage],
            figures[Compose, stage],
            {"requests": counts[Ours][stage], "peer_requests": counts[Compose][stage]},
            lab.machine(),
        )
        for stage, target in targets(count).items()
    ]


def remove_deaf(lab: Lab, count: int, rounds: int, *, grace_s: float = STOP_GRACE_S) -> Row:
    """Return how long ``count`` containers take to go that ignore SIGTERM, beside one stop grace."""
    target = Target(f"down-{count}-deaf", f"remove {count} that ignore SIGTERM", "one grace", 1.3)
    took = []
    for _ in range(rounds):
        side = Ours(lab.docker_host, lab.store.address, lab.folder / "deaf", lab.name)
        try:
            side.up(lab.deaf_fleet(count, grace_s))
            side.rest()
            took.append(_milliseconds(side.down))
        finally:
            side.close()
    return judge(target, took, [grace_s * 1000] * rounds, {}, lab.machine())


def _live(
    lab: Lab,
    kind: type[Ours] | type[Compose],
    docker_host: str,
    count: int,
    measure: Callable[[Callable[[], None]], float],
) -> Mapping[str, float]:
    """Return ``measure`` of each stage of one life."""
    side: Side = kind(
        docker_host, lab.store.address, lab.folder / kind.__name__, lab.name, witness=lab.docker_host
    )
    first, changed = lab.fleet(count), lab.fleet(count, changed=1)
    try:
        found = {UP: measure(lambda: side.up(first))}
        side.rest()
        _expect(lab, count)
        found[NOOP] = measure(lambda: side.look(first))
        found[CHANGE] = measure(lambda: side.up(changed))
        side.rest()
        _expect(lab, count)
        found[DOWN] = measure(side.down)
        _expect(lab, 0)
    finally:
        side.close()
    return found


def _requests(lab: Lab, kind: type[Ours] | type[Compose], count: int) -> Mapping[str, int]:
    """Return how many engine requests each stage takes."""
    proxy = CountingProxy(Path(lab.folder) / f"{kind.__name__}.sock", lab.docker_host)

    def asked(act: Callable[[], None]) -> float:
        before = len(proxy.requests)
        act()
        return len(proxy.requests) - before

    try:
        return {stage: int(found) for stage, found in _live(lab, kind, proxy.host, count, asked).items()}
    finally:
        proxy.stop()


def _expect(lab: Lab, count: int) -> None:
    """Neither side may win by doing less."""
    left = [
        each
        for label in OWNERS
        for each in lab.client.containers(all=count == 0, filters={"label": f"{label}={lab.name}"})
    ]
    if len(left) != count:
        raise BenchFailed(f"{len(left)} containers instead of {count}")


def _milliseconds(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000
