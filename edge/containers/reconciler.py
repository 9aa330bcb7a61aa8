"""The reconciler: passes of observe → plan → execute until what runs is what is wanted."""

import logging
import random
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path

from contract.defaults import APPLICATIONS_MAX
from contract.desired import DesiredDocument
from edge.clock import local_time
from edge.containers.execute import operator_actions
from edge.containers.execute.background_steps import BackgroundSteps
from edge.containers.execute.backoffs import Backoffs
from edge.containers.execute.disk_guard import Disk, DiskGuard
from edge.containers.execute.executor import Executor
from edge.containers.execute.image_puller import EstimatePullBytes, Puller, nothing_known
from edge.containers.execute.operator_actions import ActionRefusal, Ended, Heard, Requests
from edge.containers.execute.secrets import NO_SECRETS, SECRETS_FOLDER, Secrets, SecretSource
from edge.containers.execute.shutdown import OrderlyStop, to_stop
from edge.containers.execute.update_gate import Gate
from edge.containers.execute.volumes import VolumeDeletion
from edge.containers.failures import FailureHandler
from edge.containers.model.image_gc import STANDARD_FLOOR, DiskReserve
from edge.containers.model.image_references import RegistryCredentials
from edge.containers.model.observed import ContainerPair, device_name, pairs
from edge.containers.model.policy import DEFAULT, Policy
from edge.containers.observe.health_monitor import HealthMonitor
from edge.containers.observe.probes import Ask, Knock, Prober, http_probe, tcp_probe
from edge.containers.pass_result import ENGINE_UNAVAILABLE, Delay, Delays, Pass, outcome
from edge.containers.plan.app_snapshot import AppSnapshot
from edge.containers.plan.convergence import is_deciding, is_pending
from edge.containers.plan.dependencies import dependencies_of
from edge.containers.plan.maintenance_windows import Local
from edge.containers.plan.planner import plan
from edge.containers.plan.retry_policy import failure_of
from edge.containers.plan.steps import (
    FetchSecrets,
    InspectImage,
    Pull,
    Restart,
    Start,
    Step,
    Stop,
    Try,
    describe,
    in_background,
)
from edge.containers.plan.update_policy import Deferral, sift
from edge.containers.snapshot import Snapshot
from edge.containers.store.pulled_images import PulledImages
from edge.containers.store.secret_rotations import Rotations
from edge.containers.store.trials import Memories
from edge.ports.clock import Clock
from edge.ports.engine import Engine
from edge.ports.engine_errors import EngineError, EngineUnavailable
from edge.ports.state import State, StateUnwritable
from edge.ports.workers import Workers
from edge.worker_pool import Threads

log = logging.getLogger(__name__)

ASKERS = APPLICATIONS_MAX  # health checks at a time: one that hangs until its timeout holds up no other
LOOK_S = 5.0  # with nothing under way: what dies is seen this late at most
ENGINE_POLL_S = 2.0  # while the engine does not answer
ROUNDS = 16  # of look, plan, execute in one pass; then others get a turn


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
        state: State,
        thing: str,
        publish_address: str,
        registry_mirrors: Mapping[str, str],
        estimate_pull_bytes: EstimatePullBytes = nothing_known,
        secrets: SecretSource = NO_SECRETS,
        secrets_folder: Path = SECRETS_FOLDER,
        policy: Policy = DEFAULT,
        disk: Disk = lambda: None,
        floor: DiskReserve = STANDARD_FLOOR,
        healthy_poll_s: float = 1.0,
        on_progress: Callable[[], None] = _nobody,
        workers: Callable[[str, int], Workers] = Threads,
        http_probe: Ask = http_probe,
        tcp_probe: Knock = tcp_probe,
        jitter: Callable[[], float] = random.random,
        local: Local = local_time,
        earlier_folder: Path | None = None,  # where an earlier version of the agent had its folder
    ) -> None:
        self.on_progress = on_progress
        self._engine, self._clock, self._thing = engine, clock, thing
        self._healthy_poll_s = healthy_poll_s
        self._memories = Memories(state)
        self._secrets = Secrets(secrets, secrets_folder / device_name(thing), workers, self._progress)
        self._executor = Executor(engine, self._memories, thing, publish_address, folder, self._secrets)
        self._room = DiskGuard(engine, PulledImages(state), disk, floor)
        self._askers = workers("ask", ASKERS)
        self._under_way = BackgroundSteps(
            Puller(engine, credentials, dict(registry_mirrors), self._room, estimate_pull_bytes),
            self._secrets,
            self._executor,
            workers,
            self._progress,
        )
        self._orderly_stop = OrderlyStop(self._executor, clock, workers, self._progress)
        self._rotations = Rotations(state)
        self._volume_deletion = VolumeDeletion(engine, thing)
        self._health_monitor = HealthMonitor(
            engine,
            clock,
            self._askers,
            Prober(http_probe, tcp_probe),
            self._progress,
            self._secrets.secret_values,
        )
        self._backoffs = Backoffs(clock.monotonic)
        self._snapshot = Snapshot(
            policy,
            self._memories,
            self._rotations,
            self._secrets,
            self._under_way,
            self._health_monitor,
            self._backoffs,
        )
        self._aftermath = FailureHandler(self._snapshot, self._executor, clock, jitter)
        self._gate = Gate(folder, clock.now, local, earlier_folder)
        self._waiting: Mapping[str, Deferral] = {}  # by application
        self._requests = Requests(engine, self._askers, self._progress)

    def desire(self, document: DesiredDocument | None) -> None:
        """Want this document from the next pass on; None: not managed, touch nothing and report ours."""
        if document == self._snapshot.document:
            return
        self._gate.obey(document)
        self._backoffs.lift_all()
        self._snapshot.want(document)
        self._room.need([application.image for application in self._snapshot.wanted])

    def permit(self, policy: Policy) -> None:
        """Go by this policy from the next pass on. What runs goes on."""
        self._snapshot.permit(policy)

    def rotate_secrets(self, application: str, rotation: str) -> ActionRefusal | None:
        """Have the application's container replaced by one with its secrets fetched anew.

        ``rotation`` is whatever asks: asking again with it changes nothing. How it goes is in the report.
        """
        wanted = self._snapshot.find(application)
        if wanted is None or not wanted.secrets:
            return ActionRefusal("no-secrets", "no application of that name is wanted here and has secrets")
        try:
            self._rotations.rotate(application, rotation, [each.name for each in self._snapshot.wanted])
        except StateUnwritable as error:
            return ActionRefusal(error.code, str(error))
        self._snapshot.name_specs()
        return None

    def converge(self) -> Pass:
        """Take the next steps and return the result; never waits for a pull, start or stop."""
        try:
            self._collect()  # first: callers get their outcome even if the engine is gone
            version = self._engine.information().version
            for _ in range(ROUNDS):
                self._look()
                views = self._snapshot.views()
                steps = self._plan(views)
                self._backoffs.drop_without(
                    steps, fetching=self._snapshot.fetching(), busy=self._under_way.busy
                )
                circumstances = self._gate.circumstances(self._snapshot.pairs)
                permitted, self._waiting = sift(steps, views, circumstances)
                if not self._execute(permitted):
                    break
                self._collect()
        except EngineUnavailable as error:
            log.warning("engine unavailable: error=%s", error)
            self._health_monitor.lose_sight()
            last_known = Delay(failure_of(error))
            return outcome(
                self._snapshot.views(),
                lambda _: last_known,
                settled=False,
                locked=self._locked,
                engine=ENGINE_UNAVAILABLE,
                next_look_s=ENGINE_POLL_S,
            )
        return self._outcome(version)

    def restart(self, application: str, ended: Ended, *, force: bool = False) -> ActionRefusal | None:
        """Stop and start an application's container once, in the background; a refusal when not now."""
        locked = not force and application in self._gate.locked(self._snapshot.pairs)
        step = operator_actions.restart(self._snapshot.view(application), locked=locked)
        if isinstance(step, ActionRefusal):
            return step
        self._requests.restarting(application, ended)
        self._execute([step])
        return None

    def retry(self, application: str) -> ActionRefusal | None:
        """Try again from the next pass on what failed in this deployment, or waits for its next try."""
        if self._snapshot.find(application) is None:
            return ActionRefusal("application-unknown", "no application of that name is wanted here")
        waited = self._backoffs.latest(application) is not None
        try:
            failed = [each for each in self._snapshot.tried_with(application) if self._memories.retry(each)]
        except StateUnwritable as error:
            failure = failure_of(error)
            return ActionRefusal(failure.code, failure.message)
        for fetching in (True, False):
            self._backoffs.lift(application, fetching=fetching)
        return (
            None if waited or failed else ActionRefusal("nothing-to-retry", "nothing of it failed or waits")
        )

    def logs(self, application: str, lines: int, heard: Heard) -> ActionRefusal | None:
        """Read the last lines of what an application's container said, in the background."""
        pair = self._snapshot.pairs.get(application, ContainerPair())
        container = pair.current or pair.previous
        if container is None:
            return operator_actions.UNKNOWN
        self._requests.read(container.id, lines, self._secrets.secret_values(container.spec), heard)
        return None

    def stop_all(self) -> "Future[None]":
        """Begin to stop the applications for a reboot, and return what is done when that is over.

        Nothing starts again before the next ``converge``, or the next process of the agent.
        """
        if self._snapshot.document is None:  # not managed: the agent would not start them again
            nothing: Future[None] = Future()
            nothing.set_result(None)
            return nothing
        for pair in self._snapshot.pairs.values():
            for container in to_stop(pair):
                self._health_monitor.stopping(container.id)
        return self._orderly_stop.begin(self._snapshot.wanted, self._under_way.withdraw())

    @property
    def _locked(self) -> bool:
        return bool(self._gate.locked(self._snapshot.pairs))

    def _plan(self, views: list[AppSnapshot]) -> list[Step]:
        return plan(views, atomic=self._snapshot.is_atomic)

    def close(self) -> None:
        """Begin nothing more. What is under way on the engine goes on there."""
        for each in (self._under_way, self._orderly_stop, self._secrets, self._askers):
            each.close()

    def _look(self) -> None:
        self._snapshot.pairs = pairs(self._engine.containers(self._thing), self._thing)
        self._health_monitor.look(self._snapshot.pairs, self._snapshot.watch_level)

    def _execute(self, steps: list[Step]) -> bool:
        """Do the steps and return whether looking again may show more to do.

        A failure skips the later steps of that application only. An engine that does not answer ends the
        pass, so that the caller does not wait for one timeout after the other.
        """
        failed: set[str] = set()
        again = False
        for step in steps:
            if step.application in failed or step.application in self._under_way.busy:
                continue
            log.info('step: %s reason="%s"', describe(step), step.reason)
            if isinstance(step, Start | Restart):
                self._health_monitor.starting(step.container_id)
            elif isinstance(step, Stop):
                self._health_monitor.stopping(step.container_id)
            if in_background(step):
                again |= self._under_way.begin(step)
                continue
            try:
                self._executor.apply(step)
                again = True
            except EngineUnavailable as error:
                self._aftermath.of(step, error)
                self._health_monitor.lose_sight()
                return False
            except (EngineError, StateUnwritable) as error:
                failed.add(step.application)
                again |= self._aftermath.of(step, error)
            except Exception as error:  # a fault of ours: the report and the log have the answer
                log.exception("step failed inside the agent: %s", describe(step))
                failed.add(step.application)
                again |= self._aftermath.of(step, error)
            else:
                if not isinstance(step, Try):  # that only leads up to what is counted
                    self._backoffs.lift(step.application, fetching=False)
        return again

    def _collect(self) -> None:
        """Take in what workers have finished."""
        for step, error in self._under_way.finished_jobs():
            if error is None:
                self._backoffs.lift(step.application, fetching=False)
            else:
                self._aftermath.of(step, error)
            if isinstance(step, Restart):
                self._requests.restarted(step.application, error)
        self._requests.collect()
        for image, reference, error in self._under_way.finished_pulls():
            if error is None:
                self._snapshot.references[image] = reference
            for application in self._snapshot.wanted:
                if application.image != image:
                    continue
                if error is None:
                    self._backoffs.lift(application.name, fetching=True)
                else:
                    self._aftermath.of(Pull(application.name, image, "wanted"), error)

        for image, error in self._under_way.finished_looks():
            for application in self._snapshot.wanted:
                if application.image != image:
                    continue
                if error is None:
                    self._snapshot.preflight_passed.add(image)
                    self._backoffs.lift(application.name, fetching=True)
                else:
                    self._aftermath.of(InspectImage(application.name, image, "wanted"), error)
        for name, spec, error in self._secrets.finished():
            if error is None:
                self._backoffs.lift(name, fetching=True)
            else:
                self._aftermath.of(FetchSecrets(name, spec, (), "needed"), error)

    def _outcome(self, version: str) -> Pass:
        views, document = self._snapshot.views(), self._snapshot.document
        moving = document is not None and (
            bool(self._under_way.busy or self._snapshot.fetching() or self._backoffs or self._plan(views))
            or any(is_pending(view) for view in views)
        )
        if not moving:
            self._secrets.keep_only(self._snapshot.specs_in_use())
            if document is not None:
                self._volume_deletion.carry_out(document)
        dependencies = dependencies_of(views, atomic=self._snapshot.is_atomic)
        return outcome(
            views,
            Delays(self._backoffs, self._waiting, dependencies, self._clock).of,
            settled=not moving,
            locked=self._locked,
            engine=version,
            next_look_s=self._next_look_s(views),
        )

    def _next_look_s(self, views: list[AppSnapshot]) -> float:
        waits = [LOOK_S]
        if self._waiting or any(is_deciding(view) for view in views):
            waits.append(self._healthy_poll_s)
        waits += self._backoffs.waits_s()
        check = self._health_monitor.next_check_s()
        return min([*waits, check] if check is not None else waits)

    def _progress(self) -> None:
        self.on_progress()
