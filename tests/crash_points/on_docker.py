"""The same killings on a real Docker Engine: a few per scenario, because real containers take their time."""

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.desired import Application, DesiredDocument
from edge.clock import SystemClock
from edge.containers.container_ports import ContainerPorts, ContainerSettings
from edge.containers.model.observed import current_name
from edge.containers.pass_result import Pass
from edge.containers.reconciler import Reconciler
from edge.engine.docker import DockerEngine
from edge.ports.engine import ContainerSpec, Credentials
from edge.storage.state import StateFolder
from tests.crash_points.enumeration import Finding
from tests.crash_points.fate import Fate, Killed, Moment, MortalDisk, mortal
from tests.support.edge.containers import Inline
from tests.support.engine.tiny_registry import LOGIN, TinyRegistry

HOST = "000000000000.dkr.ecr.eu-west-1.amazonaws.com"
SETTLE_S = 60.0
WINDOW_S = 2.0
LOOKING = (
    "containers",
    "container_run",
    "labels_of",
    "has_image",
    "last_lines",
)  # how often depends on the clock


@dataclass(frozen=True, slots=True)
class OnDocker:
    """Image of "web" before and after; None: it is not wanted."""

    before: str | None
    after: str | None
    fields: Mapping[str, Any] = field(default_factory=dict)  # of "web" after


SCENARIOS: Mapping[str, OnDocker] = {
    "first deployment": OnDocker(None, "server"),
    "first deployment of two dependent applications": OnDocker(
        None, "server", {"depends_on": [{"application": "other"}]}
    ),
    "update, download-then-kill": OnDocker("server", "healthy"),
    "update, kill-then-download": OnDocker("server", "healthy", {"update_strategy": "kill-then-download"}),
    "update, hand-over": OnDocker("server", "healthy", {"update_strategy": "hand-over"}),
    "rollback of one that is not healthy": OnDocker("server", "unhealthy"),
    "removal": OnDocker("server", None),
}


class Logins:
    def get(self, registry_host: str, *, fresh: bool = False) -> Credentials:
        return Credentials(*LOGIN)


@dataclass(frozen=True, slots=True)
class Ending:
    """Where it all came to; ids and times differ each time."""

    containers: tuple[tuple[str, str, str], ...]  # of ours: name, image, state
    told: tuple[object, ...]


class DockerHarness:
    """A device on a real engine, that has settled on ``before``."""

    def __init__(
        self, engine: DockerEngine, registry: TinyRegistry, folder: Path, thing: str, before: str | None
    ) -> None:
        self.engine, self.registry, self.folder, self.thing = engine, registry, folder, thing
        self.fate = Fate()
        self.revision = 0
        self.want(before)
        self.reconciler = self._new()
        self.settle()
        self.fate.acts.clear()

    def want(self, web: str | None, **fields: Any) -> None:
        self.revision += 1
        applications = [self._application("other", "server")]
        if web is not None:
            applications.insert(0, self._application("web", web, **fields))
        self.document = DesiredDocument(
            target="thinggroup/line-3",
            revision=self.revision,
            deployment_id=f"dep-{self.revision:026d}",
            applications=applications,
        )

    def settle(self) -> Pass:
        self.reconciler.desire(self.document)
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            result = self.reconciler.converge()
            if result.settled:
                return result
            time.sleep(min(result.next_look_s or 0.1, 0.1))
        raise AssertionError(f"not settled within {SETTLE_S} s: {result}")

    def killed(self, moment: Moment) -> bool:
        """Kill the agent at ``moment`` and start another; return whether it came to that."""
        self.fate.kill(moment)
        try:
            self.settle()
        except Killed:
            return True
        finally:
            self.fate.spare()
            self.reconciler = self._new()
        return False

    def ending(self) -> Ending:
        result = self.settle()
        containers = self.engine.containers(self.thing)
        return Ending(
            tuple(sorted((each.name, each.labels["io.fleetgrass.image"], each.state) for each in containers)),
            tuple(
                (each.name, each.state, each.rollback.code if each.rollback else each.code)
                for each in result.statuses
            ),
        )

    def untouched(self) -> tuple[str, str]:
        """Return what of "other" must not change: its id and the time of its start."""
        [other] = [
            each
            for each in self.engine.containers(self.thing)
            if each.name == current_name(self.thing, "other")
        ]
        return other.id, self.engine.container_run(other.id).started_at

    def clear(self) -> None:
        for each in self.engine.containers(self.thing):
            self.engine.remove(each.id)

    def _application(self, name: str, built: str, **fields: Any) -> Application:
        reference = self.registry.reference(built).partition("/")[2]
        return Application(
            name=name, image=f"{HOST}/{reference}", healthy_window_s=WINDOW_S, stop_grace_s=1, **fields
        )

    def _new(self) -> Reconciler:
        ports = ContainerPorts(
            engine=mortal(self.engine, self.fate),
            credentials=Logins(),
            clock=SystemClock(),
            state=StateFolder(self.folder, MortalDisk(self.fate)),
            workers=Inline,
        )
        settings = ContainerSettings(
            thing=self.thing,
            folder=self.folder,
            publish_address="127.0.0.1",
            registry_mirrors={HOST: self.registry.address},
            healthy_poll_s=0.1,
        )
        return Reconciler(ports, settings)


def sampled(
    engine: DockerEngine, registry: TinyRegistry, folder: Path, scenario: str, count: int
) -> Iterator[Finding]:
    """Yield what comes of killing the agent at ``count`` of the acts that change something."""
    case = SCENARIOS[scenario]
    thing = f"crash-{secrets.token_hex(4)}"
    theirs = _neighbour(engine, registry, f"{thing}-neighbour")
    started_at = engine.container_run(theirs).started_at
    _forget(engine, registry, case)
    harness = DockerHarness(engine, registry, folder / "reference", thing, case.before)
    try:
        harness.want(case.after, **case.fields)
        expected = harness.ending()
        changes = [act for act in harness.fate.acts if act not in LOOKING]
        for i in range(count):
            at = (2 * i + 1) * len(changes) // (2 * count)
            moment = Moment(changes[: at + 1].count(changes[at]), "after" if i % 2 else "before", changes[at])
            harness.clear()
            _forget(engine, registry, case)
            harness = DockerHarness(engine, registry, folder / f"{i}", thing, case.before)
            other = harness.untouched()
            harness.want(case.after, **case.fields)
            trouble = [] if harness.killed(moment) else ["it was not killed there"]
            if (ending := harness.ending()) != expected:
                trouble.append(f"another end: {ending} instead of {expected}")
            if harness.untouched() != other:
                trouble.append("other did not change and was recreated or started again")
            if engine.container_run(theirs).started_at != started_at:
                trouble.append("a container that is not ours was touched")
            yield Finding((moment,), (changes[at],), tuple(trouble))
    finally:
        harness.clear()
        engine.remove(theirs)


def _forget(engine: DockerEngine, registry: TinyRegistry, case: OnDocker) -> None:
    """Have the image that comes be pulled each time; no container has it where that one is new."""
    if case.after is not None:
        engine.remove_image(registry.reference(case.after))


def _neighbour(engine: DockerEngine, registry: TinyRegistry, name: str) -> str:
    """Run a container that is not ours and return its id."""
    reference = registry.reference("server")
    if not engine.has_image(reference):
        engine.pull(reference, Credentials(*LOGIN))
    made = engine.create(ContainerSpec(name, reference, labels={"com.example": "theirs"}))
    engine.start(made)
    return made
