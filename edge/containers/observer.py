"""The observer: takes snapshots of what is wanted, on the engine, remembered and under way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from edge.containers.desired_applications import DesiredApplications
from edge.containers.execute.background_steps import BackgroundSteps
from edge.containers.execute.backoffs import Backoffs
from edge.containers.execute.image_fetches import ImageFetches
from edge.containers.execute.secrets import Secrets
from edge.containers.execute.update_gate import UpdateGate
from edge.containers.model.observed import ContainerPair, Observed, pairs
from edge.containers.observe.health_monitor import HealthMonitor, WatchLevel
from edge.containers.plan.app_snapshot import AppSnapshot, ImageState, SecretsState, Wait
from edge.containers.plan.snapshot import Snapshot
from edge.containers.store.trials import TrialRecords
from edge.ports.clock import Clock
from edge.ports.engine import Engine


@dataclass(slots=True)
class Observer:
    """Gathers the facts that decisions rest on, and changes none; owned by the reconciler's thread."""

    engine: Engine
    clock: Clock
    thing: str
    desired: DesiredApplications
    records: TrialRecords
    images: ImageFetches
    secrets: Secrets
    background: BackgroundSteps
    backoffs: Backoffs
    gate: UpdateGate
    health_monitor: HealthMonitor
    pairs: Mapping[str, ContainerPair] = field(default_factory=dict)  # by application, as seen last

    def observe(self) -> Snapshot:
        """Return a snapshot of what the engine has now. Raises EngineError."""
        self.pairs = pairs(self.engine.containers(self.thing), self.thing)
        self.health_monitor.look(self.pairs, self._watch_level)
        return self.snapshot()

    def snapshot(self) -> Snapshot:
        """Return a snapshot of what the engine had last, and of all else as it is now."""
        wanted = [each.name for each in self.desired.all]
        remembered = self.records.names() if self.desired.document is not None else frozenset()
        others = (self.pairs.keys() | remembered) - set(wanted)
        return Snapshot(
            applications=tuple(self.application(name) for name in (*wanted, *sorted(others))),
            atomic=self.desired.is_atomic,
            locked=self.gate.locked(self.pairs),
            window=self.gate.window(),
            force=self.gate.force,
        )

    def application(self, name: str) -> AppSnapshot:
        """Return the snapshot of one application."""
        wanted, document = self.desired.find(name), self.desired.document
        pair = self.pairs.get(name, ContainerPair())
        return AppSnapshot(
            application=name,
            wanted=wanted,
            spec=self.desired.specs.get(name, ""),
            deployment_id=document.deployment_id if document else "",
            pair=pair,
            record=self.records.of(name),
            image=self._image(name, wanted.image) if wanted else ImageState.NEEDED,
            preflight_passed=wanted is not None and wanted.image in self.images.preflight_passed,
            reference=self.images.references.get(wanted.image, "") if wanted else "",
            secrets=self._secrets(name) if wanted else SecretsState.HERE,
            lacking=frozenset(
                each.spec
                for each in (pair.current, pair.previous)
                if each is not None and not self.secrets.has_files(each.spec, each.supervision.secrets)
            ),
            pull_percent=self.images.percent(wanted.image) if wanted else None,
            history=self.health_monitor.history(pair.current),
            busy=name in self.background.busy,
            held=document is None or self.backoffs.is_blocked(name, fetching=False),
            retry=self._retry(name),
            refusal=self.desired.refusal(name),
        )

    def fetching(self) -> set[str]:
        """Return the wanted applications with a fetch under way."""
        coming = self.images.fetching
        return {each.name for each in self.desired.all if each.image in coming} | self.secrets.fetching

    def specs_in_use(self) -> set[str]:
        """Return the specifications that are wanted, or that a container was made from."""
        existing = (each for pair in self.pairs.values() for each in (pair.current, pair.previous))
        return {*self.desired.specs.values(), *(each.spec for each in existing if each is not None)}

    def _watch_level(self, application: str, observed: Observed) -> WatchLevel:
        record = self.records.of(application)
        is_unwanted = self.desired.document is not None and self.desired.find(application) is None
        if is_unwanted or application in self.background.busy:
            return WatchLevel.IGNORED
        if observed.spec != record.trial:
            return WatchLevel.KEPT
        has_failed = record.failed is not None and record.failed.spec == observed.spec
        return WatchLevel.IGNORED if has_failed else WatchLevel.TRIED

    def _image(self, application: str, image: str) -> ImageState:
        if image in self.images.references:
            return ImageState.HERE
        if self.images.is_pulling(image):
            return ImageState.COMING
        return ImageState.HELD if self.backoffs.is_blocked(application, fetching=True) else ImageState.NEEDED

    def _secrets(self, application: str) -> SecretsState:
        wanted = self.desired.find(application)
        if application in self.secrets.fetching or self.backoffs.is_blocked(application, fetching=True):
            return SecretsState.COMING
        here = wanted is None or self.secrets.has_all(self.desired.specs[application], wanted.secrets)
        return SecretsState.HERE if here else SecretsState.NEEDED

    def _retry(self, application: str) -> Wait | None:
        backoff = self.backoffs.latest(application)
        if backoff is None:
            return None
        wait_s = max(0.0, backoff.until - self.clock.monotonic())
        until = self.clock.now() + timedelta(seconds=wait_s)
        return Wait(backoff.failure.code, backoff.failure.message, until)
