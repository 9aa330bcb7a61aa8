"""Snapshots of all applications: wanted, observed, remembered and under way."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.desired import Application, DesiredDocument
from edge.containers.execute.background_steps import BackgroundSteps
from edge.containers.execute.backoffs import Backoffs
from edge.containers.execute.secrets import Secrets
from edge.containers.model.observed import ContainerPair, Observed
from edge.containers.model.policy import Policy
from edge.containers.observe.health_monitor import HealthMonitor, WatchLevel
from edge.containers.plan.app_snapshot import AppSnapshot, ImageState, SecretsState
from edge.containers.plan.dependencies import DEPENDENCY_FAILED
from edge.containers.store.secret_rotations import Rotations
from edge.containers.store.trials import Memories

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Snapshot:
    """The facts that all decisions rest on; owned by the reconciler's thread. Does nothing to the engine."""

    policy: Policy
    memories: Memories
    rotations: Rotations
    secrets: Secrets
    background: BackgroundSteps
    health_monitor: HealthMonitor
    backoffs: Backoffs
    document: DesiredDocument | None = None
    pairs: Mapping[str, ContainerPair] = field(default_factory=dict)  # by application, as seen last
    references: dict[str, str] = field(default_factory=dict)  # image → its name on the engine
    preflight_passed: set[str] = field(default_factory=set)  # images that were looked into
    _wanted: Mapping[str, Application] = field(default_factory=dict)  # by name
    _specs: Mapping[str, str] = field(default_factory=dict)  # by application
    _refusals: Mapping[str, str] = field(default_factory=dict)  # by application

    def want(self, document: DesiredDocument | None) -> None:
        """Want this document from now on, as far as the policy allows."""
        self.document = document
        self.preflight_passed.clear()
        self.references.clear()  # what an earlier document needed may have been collected since
        self._wanted = {each.name: each for each in self.wanted}
        self.name_specs()
        self.permit(self.policy)

    def permit(self, policy: Policy) -> None:
        """Judge what is wanted by this policy from now on."""
        self.policy = policy
        self._refusals = policy.refusals(self.wanted, os.path.realpath)
        for name, rule in self._refusals.items():
            log.error("refused: application=%s rule=%s", name, rule)

    def name_specs(self) -> None:
        """Work out the digests of what is wanted; do it again after a rotation."""
        self._specs = {each.name: self.rotations.spec(each) for each in self.wanted}

    @property
    def wanted(self) -> list[Application]:
        """The wanted applications, in the document's order."""
        return self.document.applications if self.document else []

    def find(self, application: str) -> Application | None:
        """Return what is wanted of an application; None when it is not wanted."""
        return self._wanted.get(application)

    @property
    def is_atomic(self) -> bool:
        return self.document is not None and self.document.atomic

    def tried_with(self, application: str) -> list[str]:
        """Return the application, and those that failed only because of another."""
        failures = {each.name: self.memories.of(each.name).failed for each in self.wanted}
        return [
            name
            for name, failure in failures.items()
            if self.is_atomic
            or name == application
            or (failure is not None and failure.code == DEPENDENCY_FAILED)
        ]

    def fetching(self) -> list[str]:
        """Return the wanted applications with a fetch under way."""
        on_their_way = {*self.background.pulling, *self.background.looked_into}
        coming = {each.name for each in self.wanted if each.image in on_their_way}
        return sorted(coming | set(self.secrets.fetching))

    def specs_in_use(self) -> set[str]:
        """Return the specifications that are wanted, or that a container was made from."""
        existing = (each for pair in self.pairs.values() for each in (pair.current, pair.previous))
        return {*self._specs.values(), *(each.spec for each in existing if each is not None)}

    def watch_level(self, application: str, observed: Observed) -> WatchLevel:
        """Return how closely the container in an application's place is to be watched."""
        memory = self.memories.of(application)
        is_unwanted = self.document is not None and application not in self._specs
        if is_unwanted or application in self.background.busy:
            return WatchLevel.IGNORED
        if observed.spec != memory.trial:
            return WatchLevel.KEPT
        has_failed = memory.failed is not None and memory.failed.spec == observed.spec
        return WatchLevel.IGNORED if has_failed else WatchLevel.TRIED

    def views(self) -> list[AppSnapshot]:
        """Return the view of every application: wanted ones in order, then others of ours."""
        remembered = self.memories.names() if self.document is not None else frozenset()
        others = (self.pairs.keys() | remembered) - self._wanted.keys()
        return [self.view(name) for name in (*self._wanted, *sorted(others))]

    def view(self, name: str) -> AppSnapshot:
        """Return the view of one application."""
        wanted, pair = self.find(name), self.pairs.get(name, ContainerPair())
        return AppSnapshot(
            application=name,
            wanted=wanted,
            spec=self._specs.get(name, "") if wanted else "",
            deployment_id=self.document.deployment_id if self.document else "",
            pair=pair,
            memory=self.memories.of(name),
            image=self._image(wanted) if wanted else ImageState.NEEDED,
            preflight_passed=wanted is not None and wanted.image in self.preflight_passed,
            reference=self.references.get(wanted.image, "") if wanted else "",
            secrets=self._supply(wanted) if wanted else SecretsState.HERE,
            lacking=frozenset(
                each.spec
                for each in (pair.current, pair.previous)
                if each is not None and not self.secrets.has_files(each.spec, each.supervision.secrets)
            ),
            pull_percent=self.background.percent(wanted.image) if wanted else None,
            history=self.health_monitor.history(pair.current),
            busy=name in self.background.busy,
            held=self.document is None or self.backoffs.is_blocked(name, fetching=False),
            refusal=self._refusals.get(name),
        )

    def _image(self, wanted: Application) -> ImageState:
        if wanted.image in self.references:
            return ImageState.HERE
        if wanted.image in self.background.pulling:
            return ImageState.COMING
        return ImageState.HELD if self.backoffs.is_blocked(wanted.name, fetching=True) else ImageState.NEEDED

    def _supply(self, wanted: Application) -> SecretsState:
        if wanted.name in self.secrets.fetching or self.backoffs.is_blocked(wanted.name, fetching=True):
            return SecretsState.COMING
        here = self.secrets.has_all(self._specs[wanted.name], wanted.secrets)
        return SecretsState.HERE if here else SecretsState.NEEDED
