"""A device on the fake engine, with a neighbour that is not ours and somebody who looks at the clock."""

import secrets
import shutil
import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contract.desired import Application, DesiredDocument
from contract.reports import ApplicationState
from edge.containers.model.image_gc import DiskReserve
from edge.containers.pass_result import Pass
from edge.host.disk_space import DiskSpace
from edge.ports.engine import LABEL_APPLICATION
from edge.ports.engine_errors import WrongArchitecture
from edge.storage.state import StateFolder
from tests.crash_points.fate import Fate, Killed, Moment, MortalDisk, mortal
from tests.support.edge.containers import Device, an_application, an_engine, image
from tests.support.edge.fake_engine import FakeContainer, FakeEngine, FakeImage

#: It was deployed once and is not any more: its image is all the garbage there is.
RETIRED = an_application("retired", image_name="retired:v1")
#: A disk that three images fit on, and a pull begins only where there is room for one: with one new
#: image there is, and for a second one something must go.
DISK_BYTES, IMAGE_BYTES = 35 << 30, 10 << 30
NEIGHBOURS = ("somebody-elses", "fleetgrass-00000000-web")


@dataclass
class Outages:
    """How often, and for how long, each application did not run a container that works."""

    began_s: dict[str, float] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    pulls_meanwhile: list[str] = field(default_factory=list)

    def note(self, act: str, working: set[str], kept: frozenset[str], now_s: float) -> None:
        """Take note of who works after ``act``."""
        for name in kept:
            if name in working and name in self.began_s:
                self.seconds[name] = self.seconds.get(name, 0.0) + now_s - self.began_s.pop(name)
            elif name not in working and name not in self.began_s:
                self.began_s[name] = now_s
                self.count[name] = self.count.get(name, 0) + 1
        if act == "pull" and self.began_s:
            self.pulls_meanwhile.extend(sorted(self.began_s))


@dataclass
class Values:
    """Where secrets come from: each is its generation's; asking is an act."""

    fate: Fate
    generation: int = 1

    def get(self, sources: Collection[str]) -> Mapping[str, bytes]:
        with self.fate.act("fetch secrets"):
            return {source: f"{source} {self.generation}".encode() for source in sources}


@dataclass(frozen=True, slots=True)
class Ending:
    """Everything that matters of how it ended."""

    containers: tuple[tuple[str, str, str], ...]  # ours and others': name, image, state
    environments: tuple[object, ...]  # of the same, in order of their names
    volumes: tuple[str, ...]
    files: tuple[tuple[str, bytes], ...]  # all that the folder in memory holds
    states: tuple[ApplicationState, ...]  # as reported, in the document's order
    told: tuple[object, ...]
    critical: bool


class DeviceHarness:
    """A device that has settled on ``before``; its agent's acts from then on are ``fate``'s."""

    def __init__(self, folder: Path, before: tuple[Application, ...], kept: frozenset[str]) -> None:
        self.engine = an_engine(
            broken=FakeImage(health="unhealthy"),
            crashing=FakeImage(exits=1),
            retired=FakeImage(),
            foreign=FakeImage(),
        )
        self.neighbours = [self.engine.add_foreign(name) for name in NEIGHBOURS]
        self.fate, self.outages = Fate(), Outages()
        self.values = Values(self.fate)
        self._memory = Path("/dev/shm") / f"crash-points-{secrets.token_hex(8)}"
        weakref.finalize(self, shutil.rmtree, self._memory, ignore_errors=True)
        self._rotated: str | None = None
        self.device = Device(
            mortal(self.engine, self.fate),
            folder,
            secrets=self.values,
            secrets_folder=self._memory,
            state=StateFolder(folder, MortalDisk(self.fate)),
            estimate_pull_bytes=self._foresee,
            disk=self._disk,
            floor=DiskReserve(IMAGE_BYTES, share=0),
        )
        self.device.deploy(RETIRED)
        self.device.deploy(*before)
        self.fate.acts.clear()
        self.started_with = self.identities()
        self._kept = kept
        self.fate.watch = self._look

    def want(self, document: DesiredDocument, *, rotated: str | None = None) -> None:
        """Deploy, without taking the first step yet; and have the secrets of ``rotated`` taken anew."""
        self.device.desire(document)
        if rotated is not None:
            self._rotated, self.values.generation = rotated, 2

    def live(self) -> bool:
        """Let time pass until all is settled; return whether the agent lived to see it."""
        try:
            self._settle()
        except Killed:
            return False
        return True

    def _settle(self) -> Pass:
        if self._rotated is not None:  # the command, which is delivered until it was answered
            assert self.device.reconciler.rotate_secrets(self._rotated, "cmd-1") is None
        return self.device.settle()

    def start_again(self) -> None:
        """Replace the process, as a service manager does."""
        self.device.start_again()

    def ending(self) -> Ending:
        """Return where it all came to."""
        result = self._settle()
        there = sorted(self.engine.all.values(), key=lambda each: each.name)
        return Ending(
            containers=tuple((each.name, each.spec.image, each.state) for each in there),
            environments=tuple(dict(each.spec.env) for each in there),
            volumes=tuple(sorted(self.engine.named_volumes)),
            files=tuple(
                (str(path.relative_to(self._memory)), path.read_bytes())
                for path in sorted(self._memory.rglob("*"))
                if path.is_file()
            ),
            states=tuple(each.state for each in result.statuses),
            told=tuple(
                (each.name, each.image, each.rollback.code if each.rollback else each.code)
                for each in result.statuses
            ),
            critical=result.critical,
        )

    def identities(self) -> dict[str, tuple[str, int]]:
        """Return which container is in each application's place, and how often it was started."""
        return {
            each.spec.labels[LABEL_APPLICATION]: (each.id, each.starts)
            for each in self.engine.all.values()
            if LABEL_APPLICATION in each.spec.labels
        }

    def neighbours_are_well(self) -> bool:
        """Whether no foreign container was touched."""
        return all(
            self.engine.all.get(each.id) is each and _as_added(each, name)
            for each, name in zip(self.neighbours, NEIGHBOURS, strict=True)
        )

    def _disk(self) -> DiskSpace:
        return DiskSpace(DISK_BYTES, DISK_BYTES - IMAGE_BYTES * len(self.engine.images))

    def _foresee(self, wanted: str) -> int:
        with self.fate.act("look into"):
            if wanted == image("foreign:v1"):
                raise WrongArchitecture("for another kind of machine")
            return 0

    def _look(self, act: str) -> None:
        working = {
            each.spec.labels[LABEL_APPLICATION]
            for each in self.engine.all.values()
            if LABEL_APPLICATION in each.spec.labels and self._works(each, self.engine)
        }
        self.outages.note(act, working, self._kept, self.device.clock.monotonic())

    @staticmethod
    def _works(container: FakeContainer, engine: FakeEngine) -> bool:
        return container.state == "running" and engine.images[container.spec.image].health != "unhealthy"


def killed(harness: DeviceHarness, moment: Moment) -> bool:
    """Kill the agent at ``moment`` and start another; return whether it came to that."""
    harness.fate.kill(moment)
    survived = harness.live()
    harness.fate.spare()
    harness.start_again()
    return not survived


def _as_added(container: FakeContainer, name: str) -> bool:
    return (container.name, container.state, container.starts) == (name, "running", 0)
