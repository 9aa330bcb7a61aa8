"""Running components of an installation: replaced in the nucleus' order, put back, ended.

The one thread that deploys calls what changes something; what ends everything may come from any thread.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from local.greengrass.nucleus.components.launch import TOKEN_EXCHANGE, ComponentLaunch, Surroundings
from local.greengrass.nucleus.components.lifecycle import Component
from local.greengrass.nucleus.components.recipe import BUILT_IN, Recipe
from local.greengrass.nucleus.deployments.deployment import (
    DeploymentFailed,
    Document,
    DocumentRefused,
    Installed,
    PowerLost,
    in_order,
)

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0  # a component that runs at one look is a success, whatever it does next
_SETTLED = ("RUNNING", "FINISHED")


class Running:
    """The components of one power-on, as the recipes of the moment have them."""

    def __init__(self, surroundings: Surroundings, changed: Callable[[], None]) -> None:
        self.recipes: dict[str, Recipe] = {}
        self.posix_users: Mapping[str, str] = {}  # by component, where a deployment said so
        self.off = threading.Event()
        self._ending = threading.Lock()  # nothing starts once ``off`` is set
        self._all = surroundings
        self._changed = changed
        self._components: dict[str, Component] = {}
        self._preparing: Component | None = None
        self._differs: set[str] = set()  # these are installed again by the next deployment
        self._replaced: list[str] = []  # by the deployment that is being applied
        self._ended_with_exchange: set[str] = set()

    def boot(self, recipes: Mapping[str, Recipe]) -> None:
        """Start all of them, dependencies first."""
        self.recipes = dict(recipes)
        if self._all.device.nucleus.kind == "classic":
            # Read back from the disk, a number of the lifecycle is of another Java type than in the recipe.
            self._differs = {name for name, recipe in recipes.items() if recipe.has_number}
        for recipe in in_order(recipes):
            self._all.components.add(recipe.name)
            component = self._component(recipe)
            if component is not None:
                self._start(recipe.name, component, installed=False)

    def switch(self, document: Document, installed: Installed, recipes: Sequence[Recipe]) -> None:
        """Replace what is to be replaced, in this nucleus' order, and wait as long as this nucleus does.

        Raises:
            InstallFailed
            DeploymentFailed: what was replaced does not run (classic).
            PowerLost
        """
        self.recipes = {recipe.name: recipe for recipe in recipes}
        gone = [name for name in self._components if name not in self.recipes]
        self._replaced = []
        for recipe in recipes:
            if self._needs_start(recipe, document, installed):
                self.stay_on()
                self._replace(recipe)
        self.stay_on()
        for name in gone:
            self._uninstall(name)
        self._differs.clear()
        self._ended_with_exchange.clear()
        if self._all.device.nucleus.kind == "classic":
            self._look()  # Lite says SUCCEEDED as soon as the units are started, whatever they do then

    def roll_back(self, recipes: Mapping[str, Recipe]) -> None:
        """Have what ``recipes`` say run again, each as it was."""
        try:
            for name in [name for name in self._components if name not in recipes]:
                self._uninstall(name)
            otherwise = {
                name
                for name, recipe in recipes.items()
                if (component := self._components.get(name)) is not None
                and (name in self._replaced or self._reads_otherwise(component, recipe))
            }
            self.recipes = dict(recipes)
            for name in otherwise:
                self._components.pop(name).stop()
            for recipe in in_order(recipes):
                if recipe.name not in self._components and (component := self._component(recipe)) is not None:
                    self._start(recipe.name, component, installed=False)
        except DocumentRefused as error:
            log.error("rollback failed: error=%s", error)

    def restart(self, name: str) -> None:
        """Stop and start one component with a new token."""
        component = self._components.get(name)
        if component is not None:
            component.stop()
            self._start(name, component, installed=True)

    def kill_token_exchange(self) -> None:
        """Have Lite's token exchange die and come back: what needs it HARD is stopped and stays so."""
        for name, component in list(self._components.items()):
            if TOKEN_EXCHANGE in self.recipes[name].hard:
                component.stop(state="FINISHED")
                self._ended_with_exchange.add(name)
        log.warning("token exchange died and is back: ended=%s", sorted(self._ended_with_exchange))

    def crash(self, name: str) -> None:
        """Kill one component's processes; it is restarted as after any crash."""
        component = self._components.get(name)
        if component is not None:
            component.crash()

    def stop(self) -> None:
        """Stop everything in order, what depends on others first."""
        self._end()
        for component in reversed(list(self._components.values())):
            component.stop()

    def cut(self) -> None:
        """End everything at once: there is no power."""
        self._end()
        for component in self._every():
            component.kill()

    def leave(self) -> None:
        """Be gone as a nucleus is whose process was killed: what it started lives on."""
        self._end()
        for component in self._every():
            component.leave()

    def state(self, name: str) -> str:
        """Return where a component stands, as the nucleus tells the cloud."""
        component = self._components.get(name)
        return component.state if component is not None else "FINISHED"

    def launch(self, recipe: Recipe) -> ComponentLaunch:
        """Return what the nucleus starts a component with."""
        return ComponentLaunch(self._all, recipe, self.recipes.get, self.posix_users.get(recipe.name))

    def stay_on(self) -> None:
        """Go on only while there is power.

        Raises:
            PowerLost
        """
        if self.off.is_set():
            raise PowerLost

    def _start(self, name: str, component: Component, *, installed: bool) -> None:
        with self._ending:
            if not self.off.is_set():
                self._components[name] = component
                component.start(installed=installed)

    def _end(self) -> None:
        with self._ending:
            self.off.set()

    def _every(self) -> Iterable[Component]:
        return [*self._components.values(), *filter(None, [self._preparing])]

    def _replace(self, recipe: Recipe) -> None:
        self._all.components.add(recipe.name)
        component = self._component(recipe)
        old = self._components.get(recipe.name)
        beside = self._all.device.nucleus.installs_beside_the_old
        if old is not None and not (beside and old.state in _SETTLED):
            old.stop()  # beside: it may be at its own install, in the same folder
        if component is not None and beside:
            self._prepare(component)
        if old is not None:
            old.stop()
            del self._components[recipe.name]
        if component is not None:
            self._replaced.append(recipe.name)
            self._start(recipe.name, component, installed=beside)

    def _look(self) -> None:
        """Return as soon as all that was replaced runs at one look, a second after the one before.

        Raises:
            DeploymentFailed: one is broken at a look.
        """
        waiting = True
        while waiting:
            self.off.wait(_LOOK_EVERY_S if self._replaced else 0)
            self.stay_on()
            states = {name: self._components[name].state for name in self._replaced}
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
        self.stay_on()

    def _needs_start(self, recipe: Recipe, document: Document, installed: Installed) -> bool:
        if installed.components.get(recipe.name) != recipe.version:
            return True
        component = self._components.get(recipe.name)
        if component is None:
            return recipe.name not in BUILT_IN and (recipe.run or recipe.install) is not None
        if component.state == "BROKEN":
            return True
        if self._all.device.nucleus.kind == "classic":
            users = (installed.posix_users.get(recipe.name), self.posix_users.get(recipe.name))
            if users[0] != users[1]:
                return True
            return recipe.name in self._differs or self._reads_otherwise(component, recipe)
        # Lite: whatever the entry's update changes, and what was stopped is started with the target again.
        entry = document.components.get(recipe.name)
        updated = entry is not None and "configurationUpdate" in entry.model_fields_set
        return updated or recipe.name in self._ended_with_exchange

    def _reads_otherwise(self, component: Component, recipe: Recipe) -> bool:
        """Tell whether the run step would be another one now than the one that runs."""
        return component.running is not None and component.running != self.launch(recipe).run()

    def _uninstall(self, name: str) -> None:
        component = self._components.pop(name, None)
        if component is not None:
            component.stop()
        self._all.components.remove(name)
        self._all.configuration.remove(name)
        shutil.rmtree(self._all.folder.work(name), ignore_errors=True)
        log.info("component removed: component=%s", name)

    def _component(self, recipe: Recipe) -> Component | None:
        if recipe.install is None and recipe.run is None:
            return None
        return Component(self.launch(recipe), self._all.device.nucleus, self._changed)
