# mypy: ignore-errors
# ruff: noqa: I001 - as mypy, it looks for these modules in this tree
"""The life of a device with an agent of before. Runs on that version's own code and fakes, all in its tree.

``python life.py FOLDER`` writes what the device has when it comes up after the update: the agent's folders,
the component's configuration and the document that it names, and what the engine has once it has booted.
The agent of before had begun a reboot, and the power went before it had stopped anything.
"""

import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from contract.commands import ReportNowCommand, RotateSecretsCommand
from contract.documents import document_key
from edge.containers.reconciler import Reconciler
from edge.state import StateFolder
from tests.edge import fakes
from tests.edge.containers.builders import (
    FakeCredentials,
    Inline,
    Later,
    a_document,
    an_application,
    an_engine,
)
from tests.edge.fake_engine import FakeImage

try:
    from edge.own_folder import take
    from edge.preflight.verdict import Refusal, Verdict
except ImportError:  # version 0.1.0 had the work folder only, and refused no document by itself
    take = None

SECRETS = [
    {"name": "PASSWORD", "source": "secretsmanager:fleetgrass/db"},
    {"name": "tls.key", "source": "ssm:/fleetgrass/tls", "as": "file"},
]
WEB = {"ports": [{"container_port": 80, "host_port": 8080}], "healthy_window_s": 600}
VAULT = an_application(
    "vault", "hello:v2", secrets=SECRETS, volumes=[{"name": "data", "path": "/data"}], stop_grace_s=20
)
FIRST = (an_application("web", "hello:v1", **WEB), VAULT, an_application("cam", "hello:v3"))
SECOND = (
    an_application("web", "slow:v1", **WEB),
    VAULT,
    an_application("cam", "broken:v1", healthy_window_s=5),
)


class Values:
    """A store of secrets."""

    def get(self, sources):
        return {source: source.encode() for source in sources}


class World(fakes.World):
    """A device whose agent has the current folder, and an engine."""

    def __init__(self, memory):
        super().__init__(heartbeat_s=120.0, policy={"host_network": True})
        self.state = StateFolder(Path.cwd())
        self.engine = an_engine(slow=FakeImage(health="starting"), broken=FakeImage(exits=1))
        self.memory = memory

    def start(self):
        self.containers = Reconciler(
            engine=self.engine,
            credentials=FakeCredentials(),
            clock=self.clock,
            folder=Path.cwd(),
            thing=fakes.THING,
            publish_address="0.0.0.0",
            registry_mirrors={},
            secrets=Values(),
            secrets_folder=self.memory,
            workers=lambda name, bound: Later() if name == "orderly-stop" else Inline(),
            jitter=lambda: 0.0,
        )
        return super().start()

    def want(self, revision, *applications):
        content = a_document(*applications, revision=revision).canonical()
        uri = f"s3://bucket/{document_key(content)}"
        self.documents[uri] = content
        self.configure(desired={"document_uri": uri})


def live(world):
    """Let everything happen of which something stays on the disk."""
    world.start()
    if take is not None:  # the nucleus restarts, and takes the token no longer
        world.link.token_is_good = False
        world.link.lost("the nucleus ended")
        assert world.turns(60.0) == 1
        world.link.token_is_good = True
        world.start()
    world.want(1, *FIRST)
    world.turns(20.0)
    world.acknowledges = False
    world.send(world.an_errand(RotateSecretsCommand, application="vault"))
    world.turns(80.0)  # its result is said again
    world.want(2, *SECOND)
    world.turns(30.0)
    if take is not None:
        world.verdict = Verdict(Refusal("image-not-found", "nobody has it", lasting=True))
        world.want(3, an_application("web", "nobody:v1"))
        world.turns(1.0)
    world.link.broker_up = False
    world.send(world.an_errand(ReportNowCommand))
    world.send(world.a_command(force=True))  # a trial is under way
    world.send(world.a_command(delay_s=3_600.0, valid_s=36_000.0, issued_ago_s=0.0))
    world.turns(2.0)


def engine_of(world):
    """Return what the engine has."""
    world.engine.power_cycle()
    return {
        "containers": [
            {
                "id": each.id,
                "name": each.name,
                "image": each.spec.image,
                "state": each.state,
                "exit_code": each.container_run.exit_code,
                "ports": [asdict(port) for port in each.spec.ports if each.state == "running"],
                "labels": each.spec.labels,
            }
            for each in world.engine.all.values()
        ],
        "images": sorted(world.engine.images),
        "volumes": world.engine.named_volumes,
    }


def main(folder):
    work = folder / "work"
    work.mkdir(parents=True)
    own = work
    if take is not None:
        own = folder / "state"
        own.mkdir()
    os.chdir(own)
    if take is not None:
        take({"FLEETGRASS_EARLIER": str(work)})
    memory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        world = World(memory)
        live(world)
    finally:
        shutil.rmtree(memory)
    (folder / "document.json").write_bytes(world.documents[world.link.values["desired"]["document_uri"]])
    for name, found in {"configuration": world.link.values, "engine": engine_of(world)}.items():
        (folder / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
