"""The installation on the device: applies deployments, starts all of it again at power-on.

Every change is made by the one thread that calls ``apply``, ``boot`` and ``restart_component``; ``stop``
and ``cut`` may come from any thread and make the others give up.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.greengrass.nucleus.components.launch import NUCLEUS, Surroundings
from local.greengrass.nucleus.components.lifecycle import InstallFailed
from local.greengrass.nucleus.components.recipe import Recipe, RecipeRefused, parse
from local.greengrass.nucleus.configuration.store import ConfigurationError, Json
from local.greengrass.nucleus.deployments.component_store import (
    ComponentError,
    ComponentStore,
    GroupsForbidden,
)
from local.greengrass.nucleus.deployments.deployment import (
    DeploymentFailed,
    Document,
    DocumentRefused,
    Installed,
    RootsRefused,
    resolve,
)
from local.greengrass.nucleus.deployments.merging import Merging, proposals
from local.greengrass.nucleus.deployments.questions import consult
from local.greengrass.nucleus.deployments.running import Running
from local.greengrass.nucleus.device import architecture
from local.greengrass.nucleus.files import write_whole

log = logging.getLogger(__name__)


class Installation:
    """The components of one power-on, and which deployments want them."""

    def __init__(
        self,
        surroundings: Surroundings,
        store: ComponentStore,
        changed: Callable[[], None],
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        """``now_ms`` is the device's own clock, unix milliseconds."""
        self._all = surroundings
        self._store = store
        self._changed = changed
        self._running = Running(surroundings, changed)
        self._merging = Merging(
            surroundings.configuration, surroundings.device.nucleus, self._interpolated, now_ms
        )
        path = surroundings.folder.deployments
        self._installed = Installed.model_validate_json(path.read_bytes()) if path.exists() else Installed()
        self._running.posix_users = self._installed.posix_users

    def boot(self) -> None:
        """Start everything that is installed, dependencies first; needs no cloud."""
        recipes: dict[str, Recipe] = {}
        for name, version in self._installed.components.items():
            try:
                source = self._all.folder.recipe(name, version).read_bytes()
                recipes[name] = self._parse(source)
            except (OSError, RecipeRefused) as error:
                log.error("component cannot start: component=%s error=%s", name, error)
        self._running.boot(recipes)

    def apply(self, document: Document, job_id: str = "") -> None:
        """Bring the device to what ``document``, which came with a job, and the other targets want.

        Raises:
            DeploymentRejected: classic had a newer one of that group.
            DeploymentFailed: classic has put back what was there before where the policy says so.
            PowerLost
        """
        running = self._running
        if self._all.device.nucleus.kind == "classic":
            self._installed.refuse_stale(document)
        try:
            wanted = self._installed.of_groups(self._groups()).with_deployment(document)
            resolution = resolve(
                wanted.roots(), self._store, architecture=architecture(), dialect=self._all.device.nucleus
            )
            for recipe in resolution.recipes:
                running.stay_on()
                self._store.fetch(recipe)
                path = self._all.folder.recipe(recipe.name, recipe.version)
                write_whole(path, resolution.sources[recipe.name])
        except (ComponentError, RecipeRefused, DocumentRefused, RootsRefused) as error:
            raise DeploymentFailed("FAILED_NO_STATE_CHANGE", error.code, str(error)) from error
        try:
            self._consult(document, job_id, resolution.recipes)
        except ConfigurationError as error:
            raise DeploymentFailed("FAILED_NO_STATE_CHANGE", error.code, str(error)) from error
        running.stay_on()
        before, old_recipes = self._all.configuration.snapshot(), dict(running.recipes)
        try:
            running.recipes |= {recipe.name: recipe for recipe in resolution.recipes}
            running.posix_users = wanted.posix_users
            self._merging.deploy(document, resolution.recipes)
            running.switch(document, self._installed, resolution.recipes)
        except (InstallFailed, ConfigurationError, DeploymentFailed) as error:
            running.stay_on()
            code = error.code
            if self._all.device.nucleus.kind == "classic" and document.failureHandlingPolicy == "ROLLBACK":
                running.posix_users = self._installed.posix_users
                self._all.configuration.restore(before)
                running.roll_back(old_recipes)
                raise DeploymentFailed("FAILED_ROLLBACK_COMPLETE", code, str(error)) from error
            self._save(wanted)
            raise DeploymentFailed("FAILED_UNABLE_TO_ROLLBACK", code, str(error)) from error
        self._save(wanted)
        if self._all.device.nucleus.consults_components:
            self._all.components.consultation.updated(document.deploymentId)

    def merge_locally(self, updates: Mapping[str, Mapping[str, Any]], *, at_ms: int) -> None:
        """Apply a local deployment's configuration: component → ``{RESET: [...], MERGE: {...}}``.

        Raises:
            DeploymentFailed
        """
        try:
            for name, update in updates.items():
                reset, merge = update.get("RESET") or [], update.get("MERGE") or {}
                self._merging.update(name, self._running.recipes.get(name), reset, merge, at_ms)
        except ConfigurationError as error:
            raise DeploymentFailed("FAILED_NO_STATE_CHANGE", error.code, str(error)) from error

    def restart_component(self, name: str) -> None:
        """Stop and start one component with a new token."""
        self._running.restart(name)

    def kill_token_exchange(self) -> None:
        """Have Lite's token exchange die and come back: what needs it HARD is stopped and stays so."""
        self._running.kill_token_exchange()

    def crash(self, name: str) -> None:
        """Kill one component's processes; it is restarted as after any crash."""
        self._running.crash(name)

    def stop(self) -> None:
        """Stop everything in order, what depends on others first."""
        self._running.stop()

    def cut(self) -> None:
        """End everything at once: there is no power."""
        self._running.cut()

    def leave(self) -> None:
        """Be gone as a nucleus is whose process was killed: what it started lives on."""
        self._running.leave()

    def status(self) -> dict[str, Any]:
        """Return what the core tells the control plane of itself."""
        roots = self._installed.roots()
        components = [
            {
                "componentName": name,
                "componentVersion": version,
                "lifecycleState": self._running.state(name),
                "isRoot": name in roots,
            }
            for name, version in self._installed.components.items()
        ]
        broken = any(component["lifecycleState"] == "BROKEN" for component in components)
        return {"status": "UNHEALTHY" if broken else "HEALTHY", "components": components}

    def _groups(self) -> frozenset[str]:
        """Return the groups of the device; where it may not ask, classic goes on with what it has stored.

        Raises:
            ComponentError: Lite needs an answer for every deployment of the cloud.
        """
        try:
            return self._store.groups()
        except GroupsForbidden as error:
            if self._all.device.nucleus.kind == "lite":
                raise
            log.warning("Failed to get thing group hierarchy. Deployment will proceed. error=%s", error)
            stored = self._installed.targets
            return frozenset(
                target.partition("/")[2] for target in stored if target.startswith("thinggroup/")
            )

    def _consult(self, document: Document, job_id: str, recipes: Sequence[Recipe]) -> None:
        nucleus, configuration = self._all.device.nucleus, self._all.configuration
        if not nucleus.consults_components:
            return
        here = {NUCLEUS: nucleus.version, **self._installed.components}
        staying = {recipe.name for recipe in recipes if here.get(recipe.name) == recipe.version}
        proposed = proposals(configuration, nucleus, self._interpolated, document, recipes)
        asked = {name: value for name, value in proposed.items() if name in staying}
        consult(self._all.components.consultation, document, job_id, asked, self._running.off)

    def _interpolated(self, recipe: Recipe, value: Json) -> Json:
        return self._running.launch(recipe).interpolated(value)

    def _save(self, wanted: Installed) -> None:
        versions = {name: recipe.version for name, recipe in self._running.recipes.items()}
        self._installed = Installed(
            targets=wanted.targets, components=versions, posix_users=wanted.posix_users
        )
        write_whole(self._all.folder.deployments, self._installed.model_dump_json().encode())
        self._changed()

    def _parse(self, source: bytes) -> Recipe:
        return parse(source, architecture=architecture(), dialect=self._all.device.nucleus)
