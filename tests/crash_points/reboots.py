"""A reboot by command, from its delivery to its outcome: the agent killed after every one of its effects.

Effects are the writes of its state, what it publishes, what it asks of the engine, and the call that
reboots. After each death the next agent finds the same boot, or a new one; it may die too.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

from contract.commands import CommandResult, CommandState, RebootCommand
from contract.desired import Application, DesiredDocument
from contract.documents import document_key
from edge.agent import Agent
from edge.containers.container_ports import ContainerPorts, ContainerSettings
from edge.containers.execute.update_gate import LOCK_FILE
from edge.containers.plan.container_spec import lock_folder
from edge.containers.reconciler import Reconciler
from edge.storage.state import StateFolder
from tests.crash_points.enumeration import Finding
from tests.crash_points.fate import Moment, MortalDisk, mortal
from tests.support.edge import fakes
from tests.support.edge.containers import FakeCredentials, Inline, an_application
from tests.support.edge.fake_engine import FakeEngine, FakeImage

Boot = Literal["same", "new"]
BOOTS: tuple[Boot, ...] = ("same", "new")

NOBODY = "no command that is on disk"
GRACE_S, DELAY_S = 6.0, 8.0
_RANK = {CommandState.DELIVERED: 1, CommandState.IN_PROGRESS: 2}
_FINAL = 3
APPLICATIONS = (
    an_application("web", depends_on=[{"application": "db"}]),
    an_application("db", update_lock=True),
    an_application("other"),
)


class Effects(fakes.Fate):
    """The fate of everything around one device's agents, its engine and disk included."""

    @contextmanager
    def act(self, what: str) -> Iterator[None]:
        try:
            yield
        finally:  # one that was answered with an error has happened too
            self.happened(what)

    def kill(self, after: int) -> None:
        """Let the agent die right after its ``after``-th effect from now on."""
        self.effects.clear()
        self.kill_after = after

    def spare(self) -> None:
        self.kill_after = None


class Machine(fakes.FakeMachine):
    """Knows for which command it was asked to reboot, by what the disk says at that moment."""

    def __init__(self, fate: fakes.Fate, state: fakes.FakeState) -> None:
        super().__init__(fate)
        self._state = state
        self.asked_for: Counter[str] = Counter()
        self.asked_in: set[int] = set()  # boots

    def reboot(self) -> None:
        entries = json.loads(self._state.files.get("commands.json", b"{}")).get("entries", {})
        meant = [k for k, e in entries.items() if e["result"]["state"] == "IN_PROGRESS"]
        self.asked_for.update(meant or [NOBODY])
        self.asked_in.add(self.boot)
        super().reboot()


class State(fakes.FakeState):
    """Remembers every ledger that was ever on disk."""

    def __init__(self, fate: fakes.Fate) -> None:
        super().__init__(fate)
        self.ledgers: list[dict[str, CommandResult]] = []

    def write(self, name: str, content: bytes) -> None:
        if name == "commands.json":
            entries = json.loads(content).get("entries", {})
            self.ledgers.append({k: CommandResult.model_validate(e["result"]) for k, e in entries.items()})
        super().write(name, content)


class RebootHarness(fakes.AgentHarness):
    """A device whose agent has settled on three applications, in a cloud that knows the time."""

    def __init__(self, folder: Path, *, obeys: bool) -> None:
        super().__init__(heartbeat_s=86_400, reboot_grace_s=GRACE_S)
        self.folder, self.obeys = folder, obeys
        self.effects = Effects()
        self.fate = self.link.fate = self.effects
        self.state = self.disk = State(self.fate)
        self.machine = self.asked = Machine(self.fate, self.state)
        self.engine = FakeEngine()
        self.engine.registry = {each.image: FakeImage() for each in APPLICATIONS}
        self._want(*APPLICATIONS)
        self.start()
        self.turns(10.0)
        self.effects.effects.clear()

    def start(self, *, connected: bool = True) -> Agent:
        ports = ContainerPorts(
            engine=mortal(self.engine, self.effects),  # type: ignore[arg-type]
            credentials=FakeCredentials(),
            clock=self.clock,
            state=StateFolder(self.folder, MortalDisk(self.effects)),  # type: ignore[arg-type]
            workers=Inline,
            jitter=lambda: 0.0,
        )
        settings = ContainerSettings(thing=fakes.THING, folder=self.folder, publish_address="127.0.0.1")
        self.containers = Reconciler(ports, settings)  # type: ignore[assignment]
        return super().start(connected=connected)

    def power_cycle(self, off_s: float = 8.0) -> None:
        self.engine.power_cycle()
        super().power_cycle(off_s)

    def live(self, seconds: float) -> None:
        """Let time pass; the machine goes down when the agent of this boot has asked for it."""
        self.turns(seconds)
        if self.obeys and self.machine.boot in self.asked.asked_in:
            self.power_cycle()
            self.turns(5.0)

    def lock(self) -> Path:
        """Let "db" take its update lock; return the file."""
        file = lock_folder(self.folder.absolute(), "db") / LOCK_FILE
        file.touch()
        return file

    def _want(self, *applications: Application) -> None:
        document = DesiredDocument(
            target="thinggroup/line-3",
            revision=1,
            deployment_id=f"dep-{1:026d}",
            applications=list(applications),
        ).canonical()
        uri = f"s3://bucket/{document_key(document)}"
        self.documents[uri] = document
        self.link.values["desired"] = {"document_uri": uri}


@dataclass(frozen=True, slots=True)
class Reboots:
    """What happens to a device: ``play`` is the stretch of its life in which its agent dies."""

    commands: Callable[[RebootHarness], tuple[RebootCommand, ...]]
    play: Callable[[RebootHarness, tuple[RebootCommand, ...]], None]
    obeys: bool = True  # the machine goes down when it is asked


def _plain(harness: RebootHarness, commands: tuple[RebootCommand, ...]) -> None:
    for command in commands:
        harness.send(command)
    harness.live(1.0)


def _repeated(harness: RebootHarness, commands: tuple[RebootCommand, ...]) -> None:
    for command in (*commands, *commands):
        harness.send(command)
    _plain(harness, commands)
    _plain(harness, commands)


def _delayed(harness: RebootHarness, commands: tuple[RebootCommand, ...]) -> None:
    _plain(harness, commands)
    harness.live(DELAY_S)


def _locked(harness: RebootHarness, commands: tuple[RebootCommand, ...]) -> None:
    lock = harness.lock()
    try:
        harness.turns(6.0)
        _plain(harness, commands)
    finally:
        lock.unlink()  # whatever becomes of the agent
    harness.live(6.0)


def _unheard(harness: RebootHarness, commands: tuple[RebootCommand, ...]) -> None:
    harness.link.broker_up = False
    _plain(harness, commands)


def _refused(harness: RebootHarness, commands: tuple[RebootCommand, ...]) -> None:
    _plain(harness, commands)
    harness.live(GRACE_S + 2.0)


def _one(harness: RebootHarness) -> tuple[RebootCommand, ...]:
    return (harness.a_command(),)


def _older_waits(harness: RebootHarness) -> tuple[RebootCommand, ...]:
    return harness.a_command(delay_s=DELAY_S), harness.a_command()


def _older_is_late(harness: RebootHarness) -> tuple[RebootCommand, ...]:
    older = harness.a_command()
    return harness.a_command(delay_s=DELAY_S), older


SCENARIOS: dict[str, Reboots] = {
    "reboot": Reboots(_one, _plain),
    "reboot, delivered again and again": Reboots(_one, _repeated),
    "reboot, put off": Reboots(lambda harness: (harness.a_command(delay_s=DELAY_S),), _delayed),
    "reboot, held up by an update lock": Reboots(_one, _locked),
    "reboot, replaced by a newer one": Reboots(_older_waits, _delayed),
    "reboot, older than one that waits": Reboots(_older_is_late, _delayed),
    "reboot while the broker is away": Reboots(_one, _unheard),
    "reboot that the machine does not do": Reboots(_one, _refused, obeys=False),
}


def once(scenario: Reboots, folder: Path) -> Iterator[Finding]:
    """Yield what comes of every death, with either boot id after it."""
    for at in range(1, len(acts(scenario, folder / "reference")) + 1):
        for boot in BOOTS:
            yield _finding(scenario, folder / f"{at}-{boot}", (at,), (boot,))


def twice(scenario: Reboots, folder: Path, gaps: Iterable[int]) -> Iterator[Finding]:
    """Yield what comes of every death when the next agent dies too, after its ``gap``-th effect."""
    length = len(acts(scenario, folder / "reference"))
    for gap, at, boots in product(gaps, range(1, length + 1), product(BOOTS, BOOTS)):
        yield _finding(scenario, folder / f"{gap}-{at}-{'-'.join(boots)}", (at, gap), boots)


def acts(scenario: Reboots, folder: Path) -> list[str]:
    """Return the effects of an undisturbed life."""
    harness = RebootHarness(folder, obeys=scenario.obeys)
    scenario.play(harness, scenario.commands(harness))
    return list(harness.effects.effects)


def _finding(scenario: Reboots, folder: Path, deaths: tuple[int, ...], boots: tuple[Boot, ...]) -> Finding:
    harness = RebootHarness(folder, obeys=scenario.obeys)
    commands = scenario.commands(harness)
    died: list[str] = []

    begin: Callable[[], object] = partial(scenario.play, harness, commands)
    for after, boot in zip(deaths, boots, strict=True):
        harness.effects.kill(after)
        killed = fakes.until_killed(begin)
        died.append(harness.effects.effects[-1] if killed else "nothing")
        harness.effects.spare()
        begin = harness.power_cycle if boot == "new" else harness.start
    begin()
    harness.link.broker_up = True
    harness.live(GRACE_S + DELAY_S)
    for command in commands:
        if command.id.encode() not in harness.disk.files.get("commands.json", b""):
            harness.send(command)  # the broker redelivers what nobody took
    for _ in range(2):  # what had not been begun is begun now
        harness.live(GRACE_S + DELAY_S)
    trouble = list(_trouble(harness, commands))
    if died[0] == "nothing":
        trouble.append("it was not killed there: the scenario goes another way each time")
    return Finding(tuple(Moment(after, "after") for after in deaths), tuple(died), tuple(trouble))


def _trouble(harness: RebootHarness, commands: tuple[RebootCommand, ...]) -> Iterator[str]:
    for command_id, times in harness.asked.asked_for.items():
        if times > 1 or command_id == NOBODY:
            yield f"the machine was asked {times} times for {command_id}"
    for command in commands:
        told = harness.results(command)
        if not told or not told[-1].state.final:
            yield f"never answered: {[result.state for result in told]}"
        yield from _backward("told", told)
        for result in told:
            if result.state is CommandState.SUCCEEDED and result.boot_id in (None, result.boot_id_before):
                yield "SUCCEEDED without another boot id"
        yield from _backward(
            "on disk", [each[command.id] for each in harness.disk.ledgers if command.id in each]
        )
    for before, after in zip(harness.disk.ledgers, harness.disk.ledgers[1:], strict=False):
        if not before.keys() <= after.keys():
            yield f"the ledger forgot {before.keys() - after.keys()}"
    down = [each.name for each in harness.engine.all.values() if each.state != "running"]
    if down or len(harness.engine.all) != len(APPLICATIONS):
        yield f"{len(harness.engine.all)} containers, and these do not run: {down}"


def _backward(where: str, results: list[CommandResult]) -> Iterator[str]:
    states = [result.state for result in results]
    ranks = [_RANK.get(state, _FINAL) for state in states]
    finals = {state for state in states if state.final}
    if ranks != sorted(ranks) or len(finals) > 1:
        yield f"{where}, it went backward: {states}"
