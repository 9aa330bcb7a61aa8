"""A cold pull of a large image by digest, beside the same pull over the engine's bare API."""

import http.client
import json
import socket
import time
from collections.abc import Callable
from urllib.parse import quote

from bench.lab import Lab
from bench.rows import Row, Target, judge
from bench.sides import ECR, BenchFailed, Logins
from edge.containers.execute.disk_guard import DiskGuard
from edge.containers.execute.image_puller import Puller
from edge.containers.model.image_gc import STANDARD_FLOOR
from edge.containers.store.pulled_images import PulledImages
from edge.engine.docker import DockerEngine
from edge.ports.engine import ignore_progress
from edge.preflight.image_inspector import ImageInspector
from edge.preflight.registry import HttpRegistry
from edge.storage.state import StateFolder

_TARGET = Target("pull-100mb", "cold pull by digest", "raw engine API", 1.05)


def pull(lab: Lab, rounds: int) -> Row:
    """Return how long the device's own way to an image takes."""
    image = lab.add_big()
    reference = f"{lab.store.address}/{image}"
    engine = DockerEngine({"DOCKER_HOST": lab.docker_host})
    room = DiskGuard(engine, PulledImages(StateFolder(lab.folder)), lambda: None, STANDARD_FLOOR)
    mirrors, images = {ECR: lab.store.address}, ImageInspector(engine, Logins(), HttpRegistry())
    puller = Puller(engine, Logins(), mirrors, room, lambda image: images.estimate_pull_bytes(image, mirrors))
    figures: dict[str, list[float]] = {"ours": [], "raw": []}
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: puller.fetch(f"{ECR}/{image}", ignore_progress),
        "raw": lambda: _pull_raw(lab.docker_host, reference),
    }
    try:
        for number in range(rounds + 1):
            for way in sorted(ways, reverse=number % 2 == 1):
                lab.forget(reference)
                began = time.perf_counter()
                ways[way]()
                if number:  # the first warms the disk up
                    figures[way].append((time.perf_counter() - began) * 1000)
    finally:
        engine.close()
        lab.forget(reference)
    return judge(_TARGET, figures["ours"], figures["raw"], {}, lab.machine())


def _pull_raw(docker_host: str, reference: str) -> None:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(docker_host.removeprefix("unix://"))
    try:
        connection.request("POST", f"/v1.41/images/create?fromImage={quote(reference, safe='')}")
        said = connection.getresponse().read().splitlines()
    finally:
        connection.close()
    if "error" in json.loads(said[-1]):
        raise BenchFailed(f"the engine did not pull: {said[-1]!r}")
