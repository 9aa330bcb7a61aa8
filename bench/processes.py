"""The agent as a process: how much memory it takes, whether that stays so, and how soon it is ready."""

import compileall
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.lab import Lab
from bench.nucleus import Nucleus
from bench.passing import resident_kib
from bench.rows import Row, Target, judge
from bench.sides import BenchFailed, Fleet, Ours
from tests.support.engine.counting_proxy import CountingProxy

_CLIENT = "clientv2 connected"
_RSS = Target("agent-rss", "idle, connected, 20 running", _CLIENT, 2.5, "MiB")
_FLAT = Target(
    "agent-rss-flat", "after all passes", "after a tenth of them", 1.02, "MiB", {"boto_modules": 0}
)
_READY = Target("agent-ready", "process start → first observe", "process start → connected", 3.5)
_BARE = "bench.bare_client"
_LIST = "/containers/json"
_GIVE_UP_S = 30.0


def memory(lab: Lab, count: int, rounds: int, passes: int) -> list[Row]:
    """Return the rows of memory with ``count`` containers running; one process does ``passes`` passes."""
    fleet = lab.fleet(count)
    ours, reference = [], []
    with running(lab, fleet):
        for _ in range(rounds):
            with nucleus_for(lab, fleet, lab.docker_host) as nucleus:
                with nucleus.process("edge") as agent:
                    nucleus.wait_for_report(
                        lambda r: r.desired is not None and r.desired.state == "CONVERGED"
                    )
                    ours.append(_mebibytes(resident_kib(agent.pid)))
                with nucleus.process(_BARE) as client:
                    _connected(client)
                    reference.append(_mebibytes(resident_kib(client.pid)))
        machine = lab.machine()
        with (
            nucleus_for(lab, fleet, lab.docker_host) as nucleus,
            nucleus.process("bench.passing", str(passes)) as it,
        ):
            found = json.loads(it.communicate()[0].splitlines()[-1])
    sizes = [_mebibytes(each) for each in found["rss_kib"]]
    return [
        judge(_RSS, ours, reference, {}, machine),
        judge(_FLAT, sizes[-1:], sizes[:1], {"passes": passes, "boto_modules": len(found["boto"])}, machine),
    ]


def ready(lab: Lab, rounds: int) -> Row:
    """Return how long it takes from the process's start to its first look at the engine."""
    for package in ("contract", "edge", "bench"):
        compileall.compile_dir(str(Path(__file__).parents[1] / package), quiet=1)
    ours, reference = [], []
    for number in range(rounds + 1):
        proxy = CountingProxy(lab.folder / f"ready-{number}.sock", lab.docker_host)
        with nucleus_for(lab, Fleet({}, ()), proxy.host) as nucleus:
            began = time.perf_counter()
            with nucleus.process(_BARE) as client:
                _connected(client)
                bare_ms = (time.perf_counter() - began) * 1000
            began = time.perf_counter()
            with nucleus.process("edge"):
                _observed(proxy)
                agent_ms = (time.perf_counter() - began) * 1000
        proxy.stop()
        if number:  # the first brings the files into the page cache
            ours.append(agent_ms)
            reference.append(bare_ms)
    return judge(_READY, ours, reference, {}, lab.machine())


@contextmanager
def running(lab: Lab, fleet: Fleet) -> Iterator[None]:
    """Have ``fleet`` running, as an agent before left it."""
    side = Ours(lab.docker_host, lab.store.address, lab.folder / "idle", lab.name)
    try:
        side.up(fleet)
        side.rest()
        yield
        side.down()
    finally:
        side.close()


@contextmanager
def nucleus_for(lab: Lab, fleet: Fleet, docker_host: str) -> Iterator[Nucleus]:
    """Have a nucleus whose component is to keep ``fleet``."""
    nucleus = Nucleus(lab, Path(tempfile.mkdtemp(dir=lab.folder)), fleet, docker_host)
    with nucleus.server:
        yield nucleus


def _connected(client: "subprocess.Popen[str]") -> None:
    if client.stdout is None or client.stdout.readline() != "connected\n":
        raise BenchFailed("the bare client did not connect")


def _observed(proxy: CountingProxy) -> None:
    deadline = time.monotonic() + _GIVE_UP_S
    while not any(_LIST in each for each in proxy.requests):
        if time.monotonic() > deadline:
            raise BenchFailed("the agent never looked at the engine")
        time.sleep(0.001)


def _mebibytes(kib: int) -> float:
    return kib / 1024
