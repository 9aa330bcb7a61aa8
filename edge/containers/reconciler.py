"""One round of observe → plan → execute, again and again, until what runs is what is wanted."""

import logging
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from contract.desired import Application, DesiredDocument
from contract.reports import ApplicationStatus
from edge import storage
from edge.clock import Clock, local_time
from edge.containers import requests
from edge.containers.collecting import STANDARD_FLOOR, Floor
from edge.containers.deferring import Deferral, sift
from edge.containers.executor import Executor
from edge.containers.gate import Gate
from edge.containers.holds import Holds
from edge.containers.memories import Memories
from edge.containers.memory import Failure
from edge.containers.naming import Observed, Pair, device_name, is_ours, pairs
from edge.containers.planner import plan
from edge.containers.probing import Ask, Knock, Prober, ask, knock
from edge.containers.pulled_images import PulledImages
from edge.containers.pulling import Puller
from edge.containers.registry import RegistryCredentials
from edge.containers.requests import Ended, Heard, Refusal, Requests
from edge.containers.room import Disk, Room
from edge.containers.rotations import Rotations
from edge.containers.secrets import NO_SECRETS, SECRETS_FOLDER, Secrets, SecretSource
from edge.containers.setbacks import Hold, Setback, after, is_contended, setback_of
from edge.containers.standing import is_converged, is_deciding, is_pending
from edge.containers.status import status
from edge.containers.steps import (
    Create,
    Fetch,
    FetchSecrets,
    Pull,
    Restart,
    SetAside,
    Start,
    Step,
    Stop,
    describe,
    in_background,
)
from edge.containers.ties import DEPENDENCY_FAILED, DEPENDENCY_NOT_READY, Ties, ties
from edge.containers.undertakings import Undertakings
from edge.containers.view import Image, Supply, View
from edge.containers.volumes import VolumeDeletion
from edge.containers.watching import Regard, Watching
from edge.containers.windows import Local
from edge.containers.workers import Threads, Workers
from edge.engine.errors import (
    ContainerGone,
    EngineError,
    EngineUnavailable,
    ImageMissing,
    NameTaken,
    PortTaken,
)
from edge.engine.port import Engine
from edge.policy import DEFAULT, Policy

log = logging.getLogger(__name__)

MEMORY_FILE = "applications.json"
PULLED_FILE = "images.json"
ROTATIONS_FILE = "rotations.json"
ASKERS = 4  # health checks at a time
LOOK_S = 5.0  # with nothing under way: what dies is seen this late at most
ENGINE_POLL_S = 2.0  # while the engine does not answer
ROUNDS = 16  # of look, plan, execute in one pass; then others get a turn


@dataclass(frozen=True, slots=True)
class Pass:
    """What one round found and left behind."""

    statuses: tuple[ApplicationStatus, ...]  # the document's order, then others of ours
    settled: bool  # nothing is under way or about to change by itself
    converged: bool  # and every wanted application runs, or ended well, as it is wanted
    critical: bool  # some application is between "old stopped" and "new running"
    engine: str  # its version, or "unavailable"
    next_look_s: float | None  # look again after this, even if nothing happens
    locked: bool = False  # some application holds its update lock


def _nobody() -> None:
    pass


class Reconciler:
    """Brings the device's containers to the desired document, and keeps them there.

    One thread owns it and calls everything but ``on_progress``, which is called from workers when
    something ended that was under way: call ``converge`` soon. Nothing is lost when the process
    dies; a new one over the same ``folder`` and engine goes on from what it finds.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        credentials: RegistryCredentials,
        clock: Clock,
        folder: Path,
        thing: str,
        publish_address: str,
        registry_mirrors: Mapping[str, str],
        secrets: SecretSource = NO_SECRETS,
        secrets_folder: Path = SECRETS_FOLDER,
        policy: Policy = DEFAULT,
        disk: Disk = lambda: None,
        floor: Floor = STANDARD_FLOOR,
        healthy_poll_s: float = 1.0,
        on_progress: Callable[[], None] = _nobody,
        workers: Callable[[str, int], Workers] = Threads,
        ask: Ask = ask,
        knock: Knock = knock,
        jitter: Callable[[], float] = random.random,
        local: Local = local_time,
        write: Callable[[Path, bytes], None] = storage.write_atomically,
    ) -> None:
        self.on_progress = on_progress
        self._engine, self._clock, self._thing = engine, clock, thing
        self._healthy_poll_s = healthy_poll_s
        self._jitter = jitter
        self._memories = Memories(folder / MEMORY_FILE, write)
        self._secrets = Secrets(secrets, secrets_folder / device_name(thing), workers, self._progress)
        self._executor = Executor(engine, self._memories, thing, publish_address, folder, self._secrets)
        self._room = Room(engine, PulledImages(folder / PULLED_FILE, write), disk, floor)
        self._askers = workers("ask", ASKERS)
        self._under_way = Undertakings(
            Puller(engine, credentials, dict(registry_mirrors), self._room),
            self._secrets,
            self._executor,
            workers,
            self._progress,
        )
        self._rotations = Rotations(folder / ROTATIONS_FILE, write)
        self._volume_deletion = VolumeDeletion(engine, thing)
        self._watching = Watching(engine, clock, self._askers, Prober(ask, knock), self._progress)
        self._policy = policy
        self._refusals: Mapping[str, str] = {}  # by application
        self._document: DesiredDocument | None = None
        self._specs: dict[str, str] = {}  # by application
        self._pairs: dict[str, Pair] = {}
        self._references: dict[str, str] = {}  # image → its name on the engine
        self._holds = Holds(clock.monotonic)
        self._gate = Gate(folder, clock.now, local)
        self._waiting: Mapping[str, Deferral] = {}  # by application
        self._requests = Requests(engine, self._askers, self._progress)

    def desire(self, document: DesiredDocument | None) -> None:
        """Want this document from the next pass on; None: not managed, touch nothing and report ours."""
        if document == self._document:
            return
        self._document = document
        self._gate.obey(document)
        self._holds.lift_all()
        self._name_specs()
        self._refusals = self._policy.refusals(self._wanted(), os.path.realpath)
        for name, rule in self._refusals.items():
            log.error("refused: application=%s rule=%s", name, rule)
        self._room.need([application.image for application in self._wanted()])

    def rotate_secrets(self, application: str, rotation: str) -> Refusal | None:
        """Have the application's container replaced by one with its secrets fetched anew.

        ``rotation`` is whatever asks: asking again with it changes nothing. How it goes is in the report.
        """
        wanted = {each.name: each for each in self._wanted()}
        if application not in wanted or not wanted[application].secrets:
            return Refusal("no-secrets", "no application of that name is wanted here and has secrets")
        try:
            self._rotations.rotate(application, rotation, wanted)
        except OSError as error:
            return Refusal("state-unwritable", f"the agent's folder: {error.strerror}")
        self._name_specs()
        return None

    def converge(self) -> Pass:
        """Take the next steps and return where everything stands; never waits for a pull, start or stop."""
        try:
            version = self._engine.information().version
            for _ in range(ROUNDS):
                self._collect()
                self._look()
                views = self._views()
                steps = self._plan(views)
                self._holds.drop_without(
                    steps,
                    fetching=self._fetching(),
                    busy=self._under_way.busy,
                )
                permitted, self._waiting = sift(steps, views, self._gate.circumstances(self._pairs))
                if not self._execute(permitted):
                    break
        except EngineUnavailable as error:
            log.warning("engine unavailable: error=%s", error)
            return self._blind(error)
        return self._outcome(version)

    def restart(self, application: str, ended: Ended, *, force: bool = False) -> Refusal | None:
        """Stop and start an application's container once, in the background; a refusal when not now."""
        wanted = next((each for each in self._wanted() if each.name == application), None)
        locked = not force and application in self._gate.locked(self._pairs)
        step = requests.restart(self._view(application, wanted), locked=locked)
        if isinstance(step, Refusal):
            return step
        self._requests.restarting(application, ended)
        self._execute([step])
        return None

    def retry(self, application: str) -> Refusal | None:
        """Try again from the next pass on what failed in this deployment, or waits for its next try."""
        if all(each.name != application for each in self._wanted()):
            return Refusal("application-unknown", "no application of that name is wanted here")
        waited = self._holds.latest(application) is not None
        try:
            failed = [each for each in self._tried_with(application) if self._memories.retry(each)]
        except OSError as error:
            setback = setback_of(error)
            return Refusal(setback.code, setback.message)
        for fetching in (True, False):
            self._holds.lift(application, fetching=fetching)
        return None if waited or failed else Refusal("nothing-to-retry", "nothing of it failed or waits")

    def logs(self, application: str, lines: int, heard: Heard) -> Refusal | None:
        """Read the last lines of what an application's container said, in the background."""
        pair = self._pairs.get(application, Pair())
        container = pair.current or pair.previous
        if container is None:
            return requests.UNKNOWN
        self._requests.read(container.id, lines, heard)
        return None

    @property
    def _is_atomic(self) -> bool:
        return self._document is not None and self._document.atomic

    def _tried_with(self, application: str) -> list[str]:
        """Return the application, and those that failed only because of another."""
        failures = {each.name: self._memories.of(each.name).failed for each in self._wanted()}
        return [
            name
            for name, failure in failures.items()
            if self._is_atomic
            or name == application
            or (failure is not None and failure.code == DEPENDENCY_FAILED)
        ]

    def _plan(self, views: list[View]) -> list[Step]:
        return plan(views, atomic=self._is_atomic)

    def close(self) -> None:
        """Begin nothing more. What is under way on the engine goes on there."""
        for each in (self._under_way, self._secrets, self._askers):
            each.close()

    def _look(self) -> None:
        self._pairs = pairs(self._engine.containers(self._thing), self._thing)
        self._watching.look(self._pairs, self._regard)

    def _regard(self, application: str, observed: Observed) -> Regard:
        memory = self._memories.of(application)
        is_unwanted = self._document is not None and application not in self._specs
        if is_unwanted or application in self._under_way.busy:
            return Regard.IGNORED
        if observed.spec != memory.trial:
            return Regard.KEPT
        has_failed = memory.failed is not None and memory.failed.spec == observed.spec
        return Regard.IGNORED if has_failed else Regard.TRIED

    def _views(self) -> list[View]:
        """Return the view of every application: wanted ones in order, then others of ours."""
        wanted = {application.name: application for application in self._wanted()}
        managed = self._document is not None
        others = (self._pairs.keys() | (self._memories.names() if managed else set())) - wanted.keys()
        return [self._view(name, wanted.get(name)) for name in (*wanted, *sorted(others))]

    def _view(self, name: str, wanted: Application | None) -> View:
        pair = self._pairs.get(name, Pair())
        image = Image.NEEDED
        if wanted is not None:
            if wanted.image in self._references:
                image = Image.HERE
            elif wanted.image in self._under_way.pulling:
                image = Image.COMING
            elif self._holds.holds(name, fetching=True):
                image = Image.HELD
        return View(
            application=name,
            wanted=wanted,
            spec=self._specs.get(name, "") if wanted else "",
            deployment_id=self._document.deployment_id if self._document else "",
            pair=pair,
            memory=self._memories.of(name),
            image=image,
            reference=self._references.get(wanted.image, "") if wanted else "",
            secrets=self._supply(wanted) if wanted else Supply.HERE,
            lacking=frozenset(
                each.spec
                for each in (pair.current, pair.previous)
                if each is not None and not self._secrets.has_files(each.spec, each.supervision.secrets)
            ),
            pull_percent=self._under_way.percent(wanted.image) if wanted else None,
            sighting=self._watching.sighting(pair.current),
            busy=name in self._under_way.busy,
            held=self._document is None or self._holds.holds(name, fetching=False),
            refusal=self._refusals.get(name),
        )

    def _supply(self, wanted: Application) -> Supply:
        if wanted.name in self._secrets.fetching or self._holds.holds(wanted.name, fetching=True):
            return Supply.COMING
        here = self._secrets.has_all(self._specs[wanted.name], wanted.secrets)
        return Supply.HERE if here else Supply.NEEDED

    def _fetching(self) -> list[str]:
        """Return the wanted applications with a fetch under way."""
        on_their_way = self._under_way.pulling
        coming = {each.name for each in self._wanted() if each.image in on_their_way}
        return sorted(coming | set(self._secrets.fetching))

    def _name_specs(self) -> None:
        self._specs = {each.name: self._rotations.spec(each) for each in self._wanted()}

    def _wanted(self) -> list[Application]:
        return self._document.applications if self._document else []

    def _execute(self, steps: list[Step]) -> bool:
        """Do the steps and return whether looking again may show more to do.

        A failure skips that application's later steps and nobody else's.
        """
        failed: set[str] = set()
        again = False
        for step in steps:
            if step.application in failed or step.application in self._under_way.busy:
                continue
            log.info('step: %s reason="%s"', describe(step), step.reason)
            if isinstance(step, Start | Restart):
                self._watching.starting(step.container_id)
            elif isinstance(step, Stop):
                self._watching.stopping(step.container_id)
            if in_background(step):
                again |= self._under_way.begin(step)
                continue
            try:
                self._executor.apply(step)
                again = True
            except (EngineError, OSError) as error:
                failed.add(step.application)
                again |= self._set_back(step, error)
            else:
                self._holds.lift(step.application, fetching=False)
        return again

    def _collect(self) -> None:
        """Take in what workers have finished."""
        for step, error in self._under_way.finished_jobs():
            if error is None:
                self._holds.lift(step.application, fetching=False)
            else:
                self._set_back(step, error)
            if isinstance(step, Restart):
                self._requests.restarted(step.application, error)
        self._requests.collect()
        for image, reference, error in self._under_way.finished_pulls():
            if error is None:
                self._references[image] = reference
            for application in self._wanted():
                if application.image != image:
                    continue
                if error is None:
                    self._holds.lift(application.name, fetching=True)
                else:
                    self._set_back(Pull(application.name, image, "wanted"), error)

        for name, spec, error in self._secrets.finished():
            if error is None:
                self._holds.lift(name, fetching=True)
            else:
                self._set_back(FetchSecrets(name, spec, (), "needed"), error)

    def _set_back(self, step: Step, error: BaseException) -> bool:
        """Decide what a failure means; return whether looking again may help at once."""
        if isinstance(error, ContainerGone):
            return True
        setback = setback_of(error)
        log.warning("step failed: %s code=%s message=%s", describe(step), setback.code, setback.message)
        if isinstance(error, ImageMissing) and isinstance(step, Create):
            self._references.pop(step.wanted.image, None)
        if isinstance(error, NameTaken) and self._holder_is_ours(step):
            return True
        fetching = isinstance(step, Fetch)
        wanted = next((each for each in self._wanted() if each.name == step.application), None)
        view = self._view(step.application, wanted)
        verdict = after(
            step,
            setback,
            view,
            tries=self._holds.tries(step.application, fetching=fetching) + 1,
            contended=isinstance(error, PortTaken) and is_contended(wanted, self._pairs),
            monotonic=self._clock.monotonic(),
            jitter=self._jitter,
        )
        if isinstance(verdict, Failure):
            try:
                self._memories.failed(step.application, verdict)
            except OSError:
                verdict = Hold(self._clock.monotonic() + LOOK_S, 1, setback)
            else:
                self._holds.lift(step.application, fetching=fetching)
                return True
        self._holds.put(step.application, verdict, fetching=fetching)
        return False

    def _holder_is_ours(self, step: Step) -> bool:
        """Whether the name that was taken belongs to a container of ours, which the next look will show."""
        if not isinstance(step, Create | SetAside):
            return False
        name = self._executor.name_after(step)
        try:
            labels = self._engine.labels_of(name)
        except EngineError:
            return False
        return labels is None or is_ours(labels, self._thing)

    def _outcome(self, version: str) -> Pass:
        views = self._views()
        moving = self._document is not None and (
            bool(self._under_way.busy or self._fetching() or self._holds or self._plan(views))
            or any(is_pending(view) for view in views)
        )
        if not moving:
            self._secrets.keep_only(self._specs_in_use())
            if self._document is not None:
                self._volume_deletion.carry_out(self._document)
        tied = ties(views, atomic=self._is_atomic)
        return Pass(
            statuses=tuple(self._status(view, tied) for view in views if view.wanted or view.pair != Pair()),
            settled=not moving,
            converged=not moving and is_converged(views),
            critical=any(view.critical for view in views),
            locked=bool(self._gate.locked(self._pairs)),
            engine=version,
            next_look_s=self._next_look_s(views),
        )

    def _blind(self, error: EngineUnavailable) -> Pass:
        """Return the last known state, saying of each application that nobody knows now."""
        setback = setback_of(error)
        return Pass(
            statuses=tuple(
                status(view, setback, None) for view in self._views() if view.wanted or view.pair != Pair()
            ),
            settled=False,
            converged=False,
            critical=any(view.critical for view in self._views()),
            locked=bool(self._gate.locked(self._pairs)),
            engine="unavailable",
            next_look_s=ENGINE_POLL_S,
        )

    def _specs_in_use(self) -> set[str]:
        existing = (each for pair in self._pairs.values() for each in (pair.current, pair.previous))
        return {*self._specs.values(), *(each.spec for each in existing if each is not None)}

    def _status(self, view: View, tied: Ties) -> ApplicationStatus:
        hold = self._holds.latest(view.application)
        if hold is None:
            waits = self._waiting.get(view.application)
            if waits is not None:
                return status(view, Setback(waits.code, waits.message, "forever"), waits.until)
            awaited = tied.awaited(view)
            if awaited is not None:
                return status(view, Setback(DEPENDENCY_NOT_READY, f"waits for {awaited}", "forever"), None)
            return status(view, None, None)
        due = self._clock.now() + timedelta(seconds=max(0.0, hold.until - self._clock.monotonic()))
        return status(view, hold.setback, due)

    def _next_look_s(self, views: list[View]) -> float:
        waits = [LOOK_S]
        if self._waiting or any(is_deciding(view) for view in views):
            waits.append(self._healthy_poll_s)
        waits += self._holds.waits_s()
        check = self._watching.next_check_s()
        return min([*waits, check] if check is not None else waits)

    def _progress(self) -> None:
        self.on_progress()
