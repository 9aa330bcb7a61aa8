"""Component recipes as a core device reads them: scripts and defaults for this platform. Pure.

Errors::

    RecipeRefused           this device cannot run the component as its recipe is
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from local.greengrass.nucleus.dialect import Dialect

_INSTALL_TIMEOUT_S = 120.0  # component recipe reference, "Timeout"


class RecipeRefused(Exception):
    """The recipe is none, or has nothing for this platform."""

    code = "recipe-refused"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file the component needs."""

    uri: str
    unarchive: bool
    sha256_base64: str | None


@dataclass(frozen=True, slots=True)
class Script:
    """One lifecycle step before interpolation; ``timeout_s`` None means for ever."""

    text: str
    environment: Mapping[str, str]
    timeout_s: float | None
    privileged: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parts of a recipe that this device uses."""

    name: str
    version: str
    defaults: Mapping[str, Any]
    dependencies: Mapping[str, str]
    hard: frozenset[str]  # those of the dependencies without which it is not to run
    artifacts: Sequence[Artifact]
    install: Script | None
    run: Script | None
    has_number: bool = False  # anywhere in its lifecycle


# A nucleus brings these itself: it looks at no manifest of theirs.
BUILT_IN = frozenset(
    {"aws.greengrass.Nucleus", "aws.greengrass.NucleusLite", "aws.greengrass.TokenExchangeService"}
)


def parse(source: bytes, *, architecture: str, dialect: Dialect) -> Recipe:
    """Return the recipe of JSON or YAML ``source`` for a Linux device.

    Raises:
        RecipeRefused
    """
    document, typed = _load(source)
    try:
        name, version = str(document["ComponentName"]), str(document["ComponentVersion"])
    except KeyError as error:
        raise RecipeRefused(f"the recipe lacks {error}") from error
    manifest = {} if name in BUILT_IN else _manifest(document, architecture, dialect, name)
    lifecycle = _Words(manifest.get("Lifecycle") or document.get("Lifecycle") or {}, dialect)
    environment = _environment(lifecycle.get("Setenv"))
    configuration = document.get("ComponentConfiguration") or {}
    defaults = configuration.get("DefaultConfiguration") or {}
    dependencies = document.get("ComponentDependencies") or {}
    return Recipe(
        name=name,
        version=version,
        defaults=defaults if typed or not dialect.stringifies_yaml else _as_text(defaults),
        dependencies={
            dependency: str((details or {}).get("VersionRequirement", ">=0.0.0"))
            for dependency, details in dependencies.items()
        },
        hard=frozenset(
            dependency
            for dependency, details in dependencies.items()
            if str((details or {}).get("DependencyType", "HARD")).upper() == "HARD"
        ),
        artifacts=tuple(_artifact(given) for given in manifest.get("Artifacts") or ()),
        install=_script(lifecycle.get("install"), environment, dialect, _INSTALL_TIMEOUT_S),
        run=_script(lifecycle.get("run"), environment, dialect, None),
        has_number=_has_number(manifest.get("Lifecycle") or document.get("Lifecycle")),
    )


def _load(source: bytes) -> tuple[dict[str, Any], bool]:
    """Return the document, and whether its scalars are typed (JSON) or only text to Lite (YAML)."""
    try:
        document, typed = json.loads(source), True
    except ValueError:
        try:
            document, typed = yaml.safe_load(source), False
        except yaml.YAMLError as error:
            raise RecipeRefused("neither JSON nor YAML") from error
    if not isinstance(document, dict):
        raise RecipeRefused("a recipe is a map")
    return document, typed


def _manifest(
    document: Mapping[str, Any], architecture: str, dialect: Dialect, name: str
) -> Mapping[str, Any]:
    manifests = document.get("Manifests") or [{}]
    has = {"os": "linux", "architecture": architecture}
    if dialect.kind == "lite":
        has["runtime"] = "aws_nucleus_lite"
    for manifest in manifests:
        platform = manifest.get("Platform") or {}
        if dialect.kind == "lite" and platform and "runtime" not in platform:
            continue
        if all(_fits(str(wanted), has.get(attribute)) for attribute, wanted in platform.items()):
            return dict(manifest)
    raise RecipeRefused(f"{name} has no manifest for linux/{architecture} on {dialect.name}")


def _fits(wanted: str, has: str | None) -> bool:
    if wanted in ("*", "any", "all"):
        return True
    if has is None:
        return False
    if len(wanted) > 1 and wanted.startswith("/") and wanted.endswith("/"):
        return re.fullmatch(wanted[1:-1], has) is not None
    return wanted == has


class _Words:
    """A map of the recipe whose keys classic reads in any case and Lite only as documented."""

    def __init__(self, given: Mapping[str, Any], dialect: Dialect) -> None:
        self._any_case = dialect.kind == "classic"
        self._values = {self._spelled(str(key)): value for key, value in given.items()}

    def get(self, key: str) -> Any:
        return self._values.get(self._spelled(key))

    def _spelled(self, key: str) -> str:
        return key.lower() if self._any_case else key


def _script(
    given: object, environment: Mapping[str, str], dialect: Dialect, timeout_s: float | None
) -> Script | None:
    if isinstance(given, str):
        return Script(given, environment, timeout_s)
    if not isinstance(given, Mapping):
        return None
    words = _Words(given, dialect)
    text, timeout = words.get("Script"), words.get("Timeout")
    if not isinstance(text, str):
        return None
    own = _environment(words.get("Setenv"))
    return Script(
        text,
        {**environment, **own},
        float(timeout) if timeout is not None else timeout_s,
        privileged=str(words.get("RequiresPrivilege")).lower() == "true",
    )


def _has_number(value: object) -> bool:
    match value:
        case bool():
            return False
        case int() | float():
            return True
        case Mapping():
            return any(map(_has_number, value.values()))
        case _:
            return False


def _environment(given: object) -> dict[str, str]:
    return {str(key): str(value) for key, value in given.items()} if isinstance(given, Mapping) else {}


def _artifact(given: Mapping[str, Any]) -> Artifact:
    fields = {str(key).lower(): value for key, value in given.items()}
    digest = fields.get("digest")
    return Artifact(
        uri=str(fields.get("uri", "")),
        unarchive=str(fields.get("unarchive", "NONE")).upper() == "ZIP",
        sha256_base64=str(digest) if digest else None,
    )


def _as_text(value: Any) -> Any:
    """Return ``value`` as Lite's YAML reader sees it: every scalar is the text that stood there."""
    match value:
        case dict():
            return {str(key): _as_text(item) for key, item in value.items()}
        case list():
            return [_as_text(item) for item in value]
        case bool():
            return "true" if value else "false"
        case None:
            return ""
        case _:
            return str(value)
