"""Configuration merge of a deployment: defaults below what is there, then resets and merges.

In classic, values carry the time at which their deployment was *made*: those of an older one lose, and nobody
is told.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from local.greengrass.nucleus.components.launch import NUCLEUS
from local.greengrass.nucleus.components.recipe import Recipe
from local.greengrass.nucleus.configuration.interpolation import pointer
from local.greengrass.nucleus.configuration.store import (
    DEFAULTS_AT_MS,
    Configuration,
    ConfigurationError,
    Json,
)
from local.greengrass.nucleus.deployments.deployment import Document, Wanted
from local.greengrass.nucleus.dialect import Dialect

_TIME_SOURCE = "deploymentConfigurationTimeSource"

Interpolate = Callable[[Recipe, Json], Json]


class Merging:
    """Writes into one configuration, with texts as ``interpolate`` makes them where the nucleus may."""

    def __init__(
        self,
        configuration: Configuration,
        dialect: Dialect,
        interpolate: Interpolate,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        """``now_ms`` is the device's own clock, unix milliseconds."""
        self._configuration = configuration
        self._dialect = dialect
        self._interpolate = interpolate
        self._now_ms = now_ms

    def deploy(self, document: Document, recipes: Iterable[Recipe]) -> None:
        """Merge in all that a deployment brings; the nucleus' own first: it says how to read the rest.

        Raises:
            ConfigurationError
        """
        at_ms = self._time_of(document)
        by_name = {recipe.name: recipe for recipe in recipes}
        for name in sorted(by_name, key=lambda name: name != NUCLEUS):
            recipe = by_name[name]
            defaults = self._read(recipe, dict(recipe.defaults))
            # Classic changes nothing that is there; Lite's defaults replace those of the version before.
            conflicts: Literal["fill", "keep"] = "fill" if self._dialect.kind == "classic" else "keep"
            self._configuration.merge(name, (), defaults, at_ms=DEFAULTS_AT_MS, conflicts=conflicts)
            if name in document.components:
                update = document.components[name].configurationUpdate
                merge = self._read(recipe, update.merge)
                self.update(name, recipe, update.reset, merge, at_ms)

    def _time_of(self, document: Document) -> int:
        """Return when the values count as written: when the deployment was made, or, on request, now.

        A deployment that says which holds for itself at once, else what the nucleus has (from 2.15.0 on).
        Lite always writes with the time of now.
        """
        if self._dialect.kind == "lite":
            return self._now_ms()
        said = document.components.get(NUCLEUS, Wanted(version="")).configurationUpdate.merge
        asked: Json = said.get(_TIME_SOURCE)
        if _TIME_SOURCE not in said:
            try:
                asked = self._configuration.get(NUCLEUS, [_TIME_SOURCE])
            except ConfigurationError:
                asked = None
        return self._now_ms() if asked == "deploymentProcessingTime" else document.creationTimestamp

    def update(self, name: str, recipe: Recipe | None, reset: Sequence[str], merge: Json, at_ms: int) -> None:
        """Reset, then merge, one component's configuration.

        Raises:
            ConfigurationError
        """
        for path in reset:
            keys = pointer(path)
            known, default = _at(dict(recipe.defaults) if recipe else {}, keys)
            if recipe is not None:
                default = self._read(recipe, default)
            self._configuration.reset(name, keys, default, known=known)
        self._configuration.merge(name, (), merge, at_ms=at_ms, conflicts="replace")

    def _read(self, recipe: Recipe, value: Json) -> Json:
        try:
            asked = self._configuration.get(NUCLEUS, ["interpolateComponentConfiguration"])
        except ConfigurationError:
            return value
        if self._dialect.kind == "lite" or str(asked).lower() != "true":
            return value
        return self._interpolate(recipe, value)


def proposals(
    current: Configuration,
    dialect: Dialect,
    interpolate: Interpolate,
    document: Document,
    recipes: Iterable[Recipe],
) -> Mapping[str, Json]:
    """Return the new configuration of each component whose configuration the deployment would change.

    Raises:
        ConfigurationError
    """
    proposed = Configuration(dialect)
    proposed.restore(current.snapshot())
    Merging(proposed, dialect, interpolate).deploy(document, recipes)
    before = {name: current.get(name) for name in current.components()}
    after = {name: proposed.get(name) for name in proposed.components()}
    return {name: value for name, value in after.items() if before.get(name) != value}


def _at(value: Json, keys: Sequence[str]) -> tuple[bool, Json]:
    """Return whether a recipe's defaults have something at ``keys``, and what."""
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return False, None
        value = value[key]
    return True, value
