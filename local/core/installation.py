"""What is installed on the device and runs: applies deployments, starts it all again at power-on.

Every change is made by the one thread that calls ``apply``, ``boot`` and ``restart_component``; ``stop``
and ``cut`` may come from any thread and make the others give up.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.core.asking import consult
from local.core.component_store import ComponentError, ComponentStore
from local.core.configuration import ConfigurationError, Json
from local.core.deployment import (
    DeploymentFailed,
    Document,
    DocumentRefused,
    Installed,
    PowerLost,
    RootsRefused,
    in_order,
    resolve,
)
from local.core.device import architecture
from local.core.files import write_whole
from local.core.launch import NUCLEUS, TOKEN_EXCHANGE, ComponentLaunch, Surroundings
from local.core.lifecycle import Component, InstallFailed
from local.core.merging import Merging, proposals
from local.core.recipe import BUILT_IN, Recipe, RecipeRefused, parse

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0  # a component that runs at one look is a success, whatever it does next
_SETTLED = ("RUNNING", "FINISHED")


class Installation:
    """The components of one power-on."""

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
        self._off = threading.Event()
        self._now_ms = now_ms
        self._merging = Merging(
            surroundings.configuration, surroundings.device.nucleus, self._interpolated, now_ms
        )
        self._recipes: dict[str, Recipe] = {}
        self._running: dict[str, Component] = {}
        self._preparing: Component | None = None
        self._differs: set[str] = set()  # these are installed again by the next deployment
        self._replaced: list[str] = []  # by the deployment that is being applied
        self._posix_users: dict[str, str] = {}
        self._ended_with_exchange: set[str] = set()
        path = surroundings.folder.deployments
        self._installed = Installed.model_validate_json(path.read_bytes()) if path.exists() else Installed()
        self._posix_users = self._installed.posix_users

    def boot(self) -> None:
        """Start everything that is installed, dependencies first; needs no cloud."""
        recipes: dict[str, Recipe] = {}
        for name, version in self._installed.components.items():
            try:
                source = self._all.folder.recipe(name, version).read_bytes()
                recipes[name] = self._parse(source)
            except (OSError, RecipeRefused) as error:
                log.error("component cannot start: component=%s error=%s", name, error)
        self._recipes = recipes
        if self._all.device.nucleus.kind == "classic":
            # Read back from the disk, a number of the lifecycle is of another Java type than in the recipe.
            self._differs = {name for name, recipe in recipes.items() if recipe.has_number}
        for recipe in in_order(recipes):
            self._all.components.add(recipe.name)
            component = self._component(recipe)
            if not self._off.is_set() and component is not None:
                self._running[recipe.name] = component
                component.start(installed=False)

    def apply(self, document: Document, job_id: str = "") -> None:
        """Bring the device to what ``document``, which came with a job, and the other targets want.

        Raises:
            DeploymentFailed: classic has put back what was there before where the policy says so.
            PowerLost
        """
        wanted = self._installed.with_deployment(document)
        try:
            resolution = resolve(
                wanted.roots(), self._store, architecture=architecture(), dialect=self._all.device.nucleus
            )
            for recipe in resolution.recipes:
                self._stay_on()
                self._store.fetch(recipe)
                path = self._all.folder.recipe(recipe.name, recipe.version)
                write_whole(path, resolution.sources[recipe.name])
        except (ComponentError, RecipeRefused, DocumentRefused, RootsRefused) as error:
            raise DeploymentFailed("FAILED_NO_STATE_CHANGE", error.code, str(error)) from error
        try:
            self._consult(document, job_id, resolution.recipes)
        except ConfigurationError as error:
            raise DeploymentFailed("FAILED_NO_STATE_CHANGE", error.code, str(error)) from error
        self._stay_on()
        before, old_recipes = self._all.configuration.snapshot(), dict(self._recipes)
        try:
            self._recipes |= {recipe.name: recipe for recipe in resolution.recipes}
            self._posix_users = wanted.posix_users
            self._merging.deploy(document, resolution.recipes)
            self._switch(document, resolution.recipes)
        except (InstallFailed, ConfigurationError, DeploymentFailed) as error:
            self._stay_on()
            code = error.code
            if self._all.device.nucleus.kind == "classic" and document.failureHandlingPolicy == "ROLLBACK":
                self._posix_users = self._installed.posix_users
                self._all.configuration.restore(before)
                self._roll_back(old_recipes)
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
                self._merging.update(name, self._recipes.get(name), reset, merge, at_ms)
        except ConfigurationError as error:
            raise DeploymentFailed("FAILED_NO_STATE_CHANGE", error.code, str(error)) from error

    def restart_component(self, name: str) -> None:
        """Stop and start one component with a new token."""
        component = self._running.get(name)
        if component is not None:
            component.stop()
            if not self._off.is_set():
                component.start(installed=True)

    def kill_token_exchange(self) -> None:
        """Have Lite's token exchange die and come back: what needs it HARD is stopped and stays so."""
        for name, component in list(self._running.items()):
            if TOKEN_EXCHANGE in self._recipes[name].hard:
                component.stop(state="FINISHED")
                self._ended_with_exchange.add(name)

    def crash(self, name: str) -> None:
        """Kill one component's processes; it is restarted as after any crash."""
        component = self._running.get(name)
        if component is not None:
            component.crash()

    def stop(self) -> None:
        """Stop everything in order, what depends on others first."""
        self._off.set()
        for component in reversed(list(self._running.values())):
            component.stop()

    def cut(self) -> None:
        """End everything at once: there is no power."""
        self._off.set()
        for component in [*self._running.values(), *filter(None, [self._preparing])]:
            component.kill()

    def leave(self) -> None:
        """Be gone as a nucleus is whose process was killed: what it started lives on."""
        self._off.set()
        for component in [*self._running.values(), *filter(None, [self._preparing])]:
            component.leave()

    def status(self) -> dict[str, Any]:
        """Return what the core tells the control plane of itself."""
        roots = self._installed.roots()
        components = [
            {
                "componentName": name,
                "componentVersion": version,
                "lifecycleState": self._state(name),
                "isRoot": name in roots,
            }
            for name, version in self._installed.components.items()
        ]
        broken = any(component["lifecycleState"] == "BROKEN" for component in components)
        return {"status": "UNHEALTHY" if broken else "HEALTHY", "components": components}

    def _state(self, name: str) -> str:
        component = self._running.get(name)
        return component.state if component is not None else "FINISHED"

    def _consult(self, document: Document, job_id: str, recipes: Sequence[Recipe]) -> None:
        nucleus, configuration = self._all.device.nucleus, self._all.configuration
        if not nucleus.consults_components:
            return
        here = {NUCLEUS: nucleus.version, **self._installed.components}
        staying = {recipe.name for recipe in recipes if here.get(recipe.name) == recipe.version}
        proposed = proposals(configuration, nucleus, self._interpolated, document, recipes)
        asked = {name: value for name, value in proposed.items() if name in staying}
        consult(self._all.components.consultation, document, job_id, asked, self._off)

    def _interpolated(self, recipe: Recipe, value: Json) -> Json:
        return self._launch(recipe).interpolated(value)

    def _switch(self, document: Document, recipes: Sequence[Recipe]) -> None:
        """Replace what is to be replaced, in this nucleus' order, and wait as long as this nucleus does."""
        self._recipes = {recipe.name: recipe for recipe in recipes}
        gone = [name for name in self._running if name not in self._recipes]
        self._replaced = []
        for recipe in recipes:
            if self._needs_start(recipe, document):
                self._stay_on()
                self._replace(recipe)
        for name in gone:
            self._uninstall(name)
        self._differs.clear()
        self._ended_with_exchange.clear()
        if self._all.device.nucleus.kind == "classic":
            self._look()  # Lite says SUCCEEDED as soon as the units are started, whatever they do then

    def _replace(self, recipe: Recipe) -> None:
        self._all.components.add(recipe.name)
        component = self._component(recipe)
        old = self._running.get(recipe.name)
        beside = self._all.device.nucleus.installs_beside_the_old
        if old is not None and not (beside and old.state in _SETTLED):
            old.stop()  # beside: it may be at its own install, in the same folder
        if component is not None and beside:
            self._prepare(component)
        if old is not None:
            old.stop()
            del self._running[recipe.name]
        if component is not None:
            self._running[recipe.name] = component
            self._replaced.append(recipe.name)
            component.start(installed=beside)

    def _look(self) -> None:
        """Return as soon as all that was replaced runs at one look, a second after the one before.

        Raises:
            DeploymentFailed: one is broken at a look.
        """
        waiting = True
        while waiting:
            self._off.wait(_LOOK_EVERY_S if self._replaced else 0)
            self._stay_on()
            states = {name: self._running[name].state for name in self._replaced}
            for name, state in states.items():
                if state == "BROKEN":
                    cause = f"Service {name} in broken state after deployment"
                    raise DeploymentFailed("FAILED", "COMPONENT_BROKEN", cause)
            waiting = not all(state in _SETTLED for state in states.values())

    def _prepare(self, component: Component) -> None:
        self._preparing = component
        try:
            component.install()
        finally:
            self._preparing = None
        self._stay_on()

    def _needs_start(self, recipe: Recipe, document: Document) -> bool:
        if self._installed.components.get(recipe.name) != recipe.version:
            return True
        component = self._running.get(recipe.name)
        if component is None:
            return recipe.name not in BUILT_IN and (recipe.run or recipe.install) is not None
        if component.state == "BROKEN":
            return True
        if self._all.device.nucleus.kind == "classic":
            users = (self._installed.posix_users.get(recipe.name), self._posix_users.get(recipe.name))
            if users[0] != users[1]:
                return True
            return recipe.name in self._differs or self._reads_otherwise(component, recipe)
        # Lite: whatever the entry's update changes, and what was stopped is started with the target again.
        entry = document.components.get(recipe.name)
        updated = entry is not None and "configurationUpdate" in entry.model_fields_set
        return updated or recipe.name in self._ended_with_exchange

    def _reads_otherwise(self, component: Component, recipe: Recipe) -> bool:
        """Tell whether the run step would be another one now than the one that runs."""
        return component.running is not None and component.running != self._launch(recipe).run()

    def _roll_back(self, recipes: Mapping[str, Recipe]) -> None:
        try:
            for name in [name for name in self._running if name not in recipes]:
                self._uninstall(name)
            otherwise = {
                name
                for name, recipe in recipes.items()
                if (component := self._running.get(name)) is not None
                and (name in self._replaced or self._reads_otherwise(component, recipe))
            }
            self._recipes = dict(recipes)
            for name in otherwise:
                self._running.pop(name).stop()
            for recipe in in_order(recipes):
                if recipe.name not in self._running and (component := self._component(recipe)) is not None:
                    self._running[recipe.name] = component
                    component.start(installed=False)
        except DocumentRefused as error:
            log.error("rollback failed: error=%s", error)

    def _uninstall(self, name: str) -> None:
        component = self._running.pop(name, None)
        if component is not None:
            component.stop()
        self._all.components.remove(name)
        self._all.configuration.remove(name)
        shutil.rmtree(self._all.folder.work(name), ignore_errors=True)
        log.info("component removed: component=%s", name)

    def _save(self, wanted: Installed) -> None:
        versions = {name: recipe.version for name, recipe in self._recipes.items()}
        self._installed = Installed(
            targets=wanted.targets, components=versions, posix_users=wanted.posix_users
        )
        write_whole(self._all.folder.deployments, self._installed.model_dump_json().encode())
        self._changed()

    def _component(self, recipe: Recipe) -> Component | None:
        if recipe.install is None and recipe.run is None:
            return None
        return Component(self._launch(recipe), self._all.device.nucleus, self._changed)

    def _launch(self, recipe: Recipe) -> ComponentLaunch:
        return ComponentLaunch(self._all, recipe, self._recipes.get, self._posix_users.get(recipe.name))

    def _parse(self, source: bytes) -> Recipe:
        return parse(source, architecture=architecture(), dialect=self._all.device.nucleus)

    def _stay_on(self) -> None:
        if self._off.is_set():
            raise PowerLost
