"""The reconciler: passes of observe → plan → execute until what runs is what is wanted."""

import logging
from collections.abc import Iterable
from concurrent.futures import Future

from contract.defaults import APPLICATIONS_MAX
from contract.desired import DesiredDocument
from edge.containers.container_ports import ContainerPorts, ContainerSettings
from edge.containers.desired_applications import DesiredApplications
from edge.containers.execute import operator_actions
from edge.containers.execute.background_steps import BackgroundSteps
from edge.containers.execute.backoffs import Backoffs
from edge.containers.execute.disk_guard import DiskGuard
from edge.containers.execute.executor import Executor
from edge.containers.execute.image_fetches import ImageFetches
from edge.containers.execute.image_puller import Puller
from edge.containers.execute.operator_actions import (
    ActionRefusal,
    OnLines,
    OnRestarted,
    OperatorActions,
    refusal_of,
)
from edge.containers.execute.secrets import Secrets
from edge.containers.execute.shutdown import Shutdown, to_stop
from edge.containers.execute.update_gate import UpdateGate
from edge.containers.execute.volumes import VolumeDeletion
from edge.containers.failures import FailureHandler
from edge.containers.model.observed import ContainerPair, device_name
from edge.containers.model.policy import Policy
from edge.containers.observe.health_monitor import HealthMonitor
from edge.containers.observer import Observer
from edge.containers.pass_result import ENGINE_UNAVAILABLE, Pass, pass_result
from edge.containers.plan.app_snapshot import AppSnapshot, Wait
from edge.containers.plan.convergence import is_deciding, is_pending
from edge.containers.plan.planner import Plan, plan
from edge.containers.plan.retry_policy import failure_of
from edge.containers.plan.steps import (
    Fetch,
    FetchSecrets,
    InspectImage,
    Pull,
    Restart,
    Start,
    Step,
    Stop,
    Try,
    describe,
)
from edge.containers.store.pulled_images import PulledImages
from edge.containers.store.secret_rotations import SecretRotations
from edge.containers.store.trials import TrialRecords
from edge.ports.engine_errors import EngineError, EngineUnavailable
from edge.ports.state import StateUnwritable

log = logging.getLogger(__name__)

PROBES = APPLICATIONS_MAX  # health checks at a time: one that hangs until its timeout holds up no other
LOOK_S = 5.0  # with nothing under way: what dies is seen this late at most
ENGINE_POLL_S = 2.0  # while the engine does not answer
ROUNDS = 16  # of observe, plan, execute in one pass; then others get a turn


class Reconciler:
    """Brings the device's containers to the desired document, and keeps them there.

    One thread owns it. Nothing is lost when the process dies; a new one over the same folder and
    engine goes on from what it finds.
    """

    def __init__(self, ports: ContainerPorts, settings: ContainerSettings) -> None:
        engine, clock, workers, ended = ports.engine, ports.clock, ports.workers, ports.on_progress
        self._engine, self._settings = engine, settings
        self._records = TrialRecords(ports.state)
        self._desired = DesiredApplications(settings.policy, SecretRotations(ports.state))
        self._backoffs = Backoffs(clock.monotonic)
        self._disk_guard = DiskGuard(engine, PulledImages(ports.state), ports.disk, settings.floor)
        self._images = ImageFetches(
            Puller(
                engine,
                ports.credentials,
                dict(settings.registry_mirrors),
                self._disk_guard,
                ports.estimate_pull_bytes,
            ),
            workers,
            ended,
        )
        self._secrets = Secrets(
            ports.secrets, settings.secrets_folder / device_name(settings.thing), workers, ended
        )
        self._executor = Executor(
            engine, self._records, settings.thing, settings.publish_address, settings.folder, self._secrets
        )
        self._background = BackgroundSteps(self._executor, workers, ended)
        self._shutdown = Shutdown(self._executor, clock, workers, ended)
        self._volume_deletion = VolumeDeletion(engine, settings.thing)
        self._probers = workers("probe", PROBES)
        self._operator_actions = OperatorActions(engine, self._probers, ended)
        self._health_monitor = HealthMonitor(
            engine, clock, self._probers, ports.prober, ended, self._secrets.secret_values
        )
        self._gate = UpdateGate(settings.folder, clock.now, ports.local, settings.earlier_folder)
        self._observer = Observer(
            engine,
            clock,
            settings.thing,
            self._desired,
            self._records,
            self._images,
            self._secrets,
            self._background,
            self._backoffs,
            self._gate,
            self._health_monitor,
        )
        self._failures = FailureHandler(
            engine,
            settings.thing,
            self._observer,
            self._records,
            self._backoffs,
            self._images,
            clock,
            ports.jitter,
        )

    def desire(self, document: DesiredDocument | None) -> None:
        """Want this document from the next pass on; None: not managed, touch nothing and report ours."""
        if document == self._desired.document:
            return
        self._gate.obey(document)
        self._backoffs.lift_all()
        self._images.forget_all()
        self._desired.want(document)
        self._disk_guard.need([application.image for application in self._desired.all])

    def permit(self, policy: Policy) -> None:
        """Go by this policy from the next pass on. What runs goes on."""
        self._desired.permit(policy)

    def converge(self) -> Pass:
        """Take the next steps and return the result; never waits for a pull, start or stop."""
        try:
            self._take_in_finished()  # first: callers get their outcome even if the engine is gone
            version = self._engine.information().version
            for _ in range(ROUNDS):
                next_plan = plan(self._observer.observe())
                self._backoffs.drop_without(
                    [*next_plan.steps, *next_plan.withheld],
                    fetching=self._observer.fetching(),
                    busy=self._background.busy,
                )
                if not self._execute(next_plan.steps):
                    break
                self._take_in_finished()
        except EngineUnavailable as error:
            return self._without_engine(error)
        return self._result(next_plan, version)

    def rotate_secrets(self, application: str, rotation: str) -> ActionRefusal | None:
        """Have the application's container replaced by one with its secrets fetched anew.

        ``rotation`` is whatever asks: asking again with it changes nothing. How it goes is in the report.
        """
        wanted = self._desired.find(application)
        if wanted is None or not wanted.secrets:
            return ActionRefusal("no-secrets", "no application of that name is wanted here and has secrets")
        try:
            self._desired.rotate_secrets(application, rotation)
        except StateUnwritable as error:
            return ActionRefusal(error.code, str(error))
        return None

    def restart(
        self, application: str, on_restarted: OnRestarted, *, force: bool = False
    ) -> ActionRefusal | None:
        """Stop and start an application's container once, in the background; a refusal when not now."""
        locked = not force and application in self._gate.locked(self._observer.pairs)
        step = operator_actions.restart(self._observer.application(application), locked=locked)
        if isinstance(step, ActionRefusal):
            return step
        self._operator_actions.restarting(application, on_restarted)
        self._execute([step])
        return None

    def retry(self, application: str) -> ActionRefusal | None:
        """Try again from the next pass on what failed in this deployment, or waits for its next try."""
        if self._desired.find(application) is None:
            return ActionRefusal("application-unknown", "no application of that name is wanted here")
        waited = self._backoffs.latest(application) is not None
        failures = {each.name: self._records.of(each.name).failed for each in self._desired.all}
        together = operator_actions.retried_with(application, failures, atomic=self._desired.is_atomic)
        try:
            failed = [each for each in together if self._records.retry(each)]
        except StateUnwritable as error:
            return refusal_of(error)
        for fetching in (True, False):
            self._backoffs.lift(application, fetching=fetching)
        return (
            None if waited or failed else ActionRefusal("nothing-to-retry", "nothing of it failed or waits")
        )

    def logs(self, application: str, lines: int, on_lines: OnLines) -> ActionRefusal | None:
        """Read the last lines of what an application's container said, in the background."""
        pair = self._observer.pairs.get(application, ContainerPair())
        container = pair.current or pair.previous
        if container is None:
            return operator_actions.UNKNOWN
        secret_values = self._secrets.secret_values(container.spec)
        self._operator_actions.read(container.id, lines, secret_values, on_lines)
        return None

    def stop_all(self) -> "Future[None]":
        """Begin to stop the applications for a reboot, and return what is done when that is over.

        Nothing starts again before the next ``converge``, or the next process of the agent.
        """
        if self._desired.document is None:  # not managed: the agent would not start them again
            nothing: Future[None] = Future()
            nothing.set_result(None)
            return nothing
        for pair in self._observer.pairs.values():
            for container in to_stop(pair):
                self._health_monitor.stopping(container.id)
        return self._shutdown.begin(self._desired.all, self._background.withdraw())

    def close(self) -> None:
        """Begin nothing more. What is under way on the engine goes on there."""
        for each in (self._background, self._images, self._secrets, self._shutdown, self._probers):
            each.close()

    def _execute(self, steps: Iterable[Step]) -> bool:
        """Do the steps and return whether observing again may show more to do.

        A failure skips the later steps of that application only. An engine that does not answer ends the
        pass, so that the caller does not wait for one timeout after the other.
        """
        failed: set[str] = set()
        again = False
        for step in steps:
            if step.application in failed or step.application in self._background.busy:
                continue
            log.info('step: %s reason="%s"', describe(step), step.reason)
            try:
                again |= self._begin(step)
            except EngineUnavailable as error:
                self._ended(step, error)
                self._health_monitor.lose_sight()
                return False
            except Exception as error:
                if not isinstance(error, EngineError | StateUnwritable):
                    # A fault of ours: the report and the log have the answer.
                    log.exception("step failed inside the agent: %s", describe(step))
                failed.add(step.application)
                again |= self._ended(step, error)
        return again

    def _begin(self, step: Step) -> bool:
        """Do a step, or hand it to a worker, and return whether it has ended; raises what went wrong."""
        match step:
            case Pull() | InspectImage():
                return self._images.begin(step)
            case FetchSecrets():
                return self._secrets.fetch(step.application, step.spec, step.secrets)
            case Start() | Restart():
                self._health_monitor.starting(step.container_id)
                return self._background.begin(step)
            case Stop():
                self._health_monitor.stopping(step.container_id)
                return self._background.begin(step)
            case _:
                self._executor.apply(step)
                return self._ended(step, None)

    def _take_in_finished(self) -> None:
        """Take in what workers have finished."""
        for step, error in self._background.finished():
            self._ended(step, error)
        self._operator_actions.take_in_finished()
        for kind, image, error in self._images.finished():
            for application in self._desired.with_image(image):
                self._ended(kind(application.name, image, "wanted"), error)
        for name, spec, error in self._secrets.finished():
            self._ended(FetchSecrets(name, spec, (), "needed"), error)

    def _ended(self, step: Step, error: BaseException | None) -> bool:
        """Note how a step went; return whether to observe again at once."""
        if isinstance(step, Restart):
            self._operator_actions.restarted(step.application, error)
        if error is not None:
            return self._failures.handle(step, error)
        if not isinstance(step, Try):  # that only leads up to what is counted
            self._backoffs.lift(step.application, fetching=isinstance(step, Fetch))
        return True

    def _result(self, last_plan: Plan, version: str) -> Pass:
        snapshot, document = self._observer.snapshot(), self._desired.document
        under_way = self._background.busy or self._observer.fetching() or self._backoffs
        to_come = last_plan.steps or last_plan.withheld or any(map(is_pending, snapshot.applications))
        moving = document is not None and bool(under_way or to_come)
        if not moving:
            self._secrets.keep_only(self._observer.specs_in_use())
            if document is not None:
                self._volume_deletion.carry_out(document)
        retries = {each.application: each.retry for each in snapshot.applications if each.retry is not None}
        return pass_result(
            snapshot,
            {**last_plan.waiting, **retries},
            settled=not moving,
            engine=version,
            next_look_s=self._next_look_s(snapshot.applications, is_held_back=bool(last_plan.withheld)),
        )

    def _without_engine(self, error: EngineUnavailable) -> Pass:
        log.warning("engine unavailable: error=%s", error)
        self._health_monitor.lose_sight()
        snapshot, failure = self._observer.snapshot(), failure_of(error)
        last_known = Wait(failure.code, failure.message)
        return pass_result(
            snapshot,
            {each.application: last_known for each in snapshot.applications},
            settled=False,
            engine=ENGINE_UNAVAILABLE,
            next_look_s=ENGINE_POLL_S,
        )

    def _next_look_s(self, applications: Iterable[AppSnapshot], *, is_held_back: bool) -> float:
        waits_s = [LOOK_S, *self._backoffs.waits_s()]
        if is_held_back or any(map(is_deciding, applications)):
            waits_s.append(self._settings.healthy_poll_s)
        check_s = self._health_monitor.next_check_s()
        return min(waits_s if check_s is None else [*waits_s, check_s])
