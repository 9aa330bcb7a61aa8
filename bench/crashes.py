"""From a container's death to the report about it, beside the engine's own event of it."""

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from bench.lab import Lab
from bench.nucleus import Nucleus
from bench.processes import nucleus_for, running
from bench.rows import Row, Target, judge
from bench.sides import BenchFailed
from contract import topics
from contract.reports import ApplicationState, DeviceReport
from edge.ports.engine import LABEL_APPLICATION, LABEL_THING

_TARGET = Target(
    "crash-report", "container dies → report published", "die event", 3.0, counts={"publishes": 1}
)
_ANSWER_S = 30.0
_QUIET_S = 1.5  # for reports that should not be


def report(lab: Lab, rounds: int) -> Row:
    """Return how long the news of a crash takes; each round another of the running containers dies."""
    fleet = replace(lab.fleet(rounds), restart="no")
    ours, reference, publishes = [], [], []
    with running(lab, fleet), nucleus_for(lab, fleet, lab.docker_host) as nucleus, nucleus.process("edge"):
        nucleus.wait_for_report(lambda r: r.desired is not None and r.desired.state == "CONVERGED")
        time.sleep(_QUIET_S)
        for name in fleet.images:
            with _deaths(lab) as deaths:
                before, began = len(_reports(nucleus)), time.perf_counter()
                _crash(lab, name)
                ours.append((_reported(nucleus, name, before) - began) * 1000)
                reference.append((deaths.get(timeout=_ANSWER_S) - began) * 1000)
            time.sleep(_QUIET_S)
            publishes.append(len(_reports(nucleus)) - before)
    return judge(_TARGET, ours, reference, {"publishes": max(publishes)}, lab.machine())


def _crash(lab: Lab, name: str) -> None:
    """Kill the container's first process from outside: the engine did not ask for it."""
    labels = [f"{LABEL_THING}={lab.name}", f"{LABEL_APPLICATION}={name}"]
    [container] = lab.client.containers(filters={"label": labels})
    os.kill(int(lab.client.inspect_container(container["Id"])["State"]["Pid"]), signal.SIGKILL)


@contextlib.contextmanager
def _deaths(lab: Lab) -> Iterator["queue.SimpleQueue[float]"]:
    """Have the time of each ``die`` event put into a queue."""
    found: queue.SimpleQueue[float] = queue.SimpleQueue()
    events = lab.client.events(filters={"event": "die", "label": f"{LABEL_THING}={lab.name}"}, decode=True)

    def listen() -> None:
        for _ in events:
            found.put(time.perf_counter())

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    try:
        yield found
    finally:
        events.close()
        listening.join(_ANSWER_S)


def _reported(nucleus: Nucleus, name: str, before: int) -> float:
    """Return when a report came that says that the application does not run."""
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        for payload in _reports(nucleus)[before:]:
            states = {each.name: each.state for each in DeviceReport.from_json(payload).applications}
            if states.get(name, ApplicationState.RUNNING) is not ApplicationState.RUNNING:
                return time.perf_counter()
        time.sleep(0.001)
    raise BenchFailed(f"the crash of {name} was not reported within {_ANSWER_S:.0f} s")


def _reports(nucleus: Nucleus) -> list[bytes]:
    topic = topics.report(nucleus.thing)
    return [message.payload for message in list(nucleus.broker.published) if message.topic == topic]
