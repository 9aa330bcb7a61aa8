"""What a deployment makes of a configuration: defaults below what is there, then resets and merges."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from local.core.configuration import DEFAULTS_AT_MS, Configuration, ConfigurationError, Json
from local.core.deployment import Document
from local.core.dialect import Dialect
from local.core.interpolation import pointer
from local.core.launch import NUCLEUS
from local.core.recipe import Recipe

Interpolate = Callable[[Recipe, Json], Json]


class Merging:
    """Writes into one configuration, with texts as ``interpolate`` makes them where the nucleus may."""

    def __init__(self, configuration: Configuration, dialect: Dialect, interpolate: Interpolate) -> None:
        self._configuration = configuration
        self._dialect = dialect
        self._interpolate = interpolate

    def deploy(self, document: Document, recipes: Iterable[Recipe]) -> None:
        """Merge in all that a deployment brings; the nucleus' own first: it says how to read the rest.

        Raises:
            ConfigurationError
        """
        by_name = {recipe.name: recipe for recipe in recipes}
        for name in sorted(by_name, key=lambda name: name != NUCLEUS):
            recipe = by_name[name]
            defaults = self._read(recipe, dict(recipe.defaults))
            self._configuration.merge(name, (), defaults, at_ms=DEFAULTS_AT_MS, conflicts="keep")
            if name in document.components:
                update = document.components[name].configurationUpdate
                merge = self._read(recipe, update.merge)
                self.update(name, recipe, update.reset, merge, document.creationTimestamp)

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
