"""Component recipes: read whatever the case of their keys, checked, and written canonically. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from local.greengrass.control_plane.errors import InvalidRequest
from local.greengrass.control_plane.versions import Version, satisfies

MAX_BYTES = 16_000  # Greengrass v2 quotas, "Maximum size of a component recipe"
FORMAT = "2020-01-25"
NAME = re.compile(r"^[a-zA-Z0-9._-]{1,128}$")
_STRUCTURE = (
    "RecipeFormatVersion",
    "ComponentName",
    "ComponentVersion",
    "ComponentDescription",
    "ComponentPublisher",
    "ComponentType",
    "ComponentSource",
    "ComponentConfiguration",
    "ComponentDependencies",
    "DefaultConfiguration",
    "Manifests",
    "Lifecycle",
    "Name",
    "Platform",
    "Selections",
    "Artifacts",
    "URI",
    "Unarchive",
    "Permission",
    "Read",
    "Execute",
    "Digest",
    "Algorithm",
    "VersionRequirement",
    "DependencyType",
)
_SPELLED = {word.lower(): word for word in _STRUCTURE}
#: Below these the keys are the author's own words.
_VERBATIM = {"DefaultConfiguration", "Lifecycle", "Platform"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A component version's recipe with its structural keys spelled as AWS spells them."""

    name: str
    version: str
    document: Mapping[str, Any]

    def manifests(self) -> list[Mapping[str, Any]]:
        """Return the manifests, in the order in which a device tries them."""
        return list(self.document.get("Manifests") or [])

    def platforms(self) -> list[dict[str, Any]]:
        """Return the platforms as ListComponents and DescribeComponent show them."""
        return [
            {"name": str(manifest.get("Name", "")), "attributes": {k: str(v) for k, v in platform.items()}}
            for manifest in self.manifests()
            if (platform := manifest.get("Platform"))
        ]

    def artifact_uris(self) -> list[str]:
        """Return every S3 artifact's URI."""
        return [
            uri for artifact in _artifacts(self.document) if (uri := str(artifact["URI"])).startswith("s3://")
        ]

    def with_digests(self, digests: Mapping[str, str]) -> "Recipe":
        """Return the recipe with ``Digest`` (base64 of SHA-256) and ``Algorithm`` beside each artifact."""
        document = json.loads(json.dumps(self.document))
        for artifact in _artifacts(document):
            if artifact["URI"] in digests:
                artifact.update(Digest=digests[artifact["URI"]], Algorithm="SHA-256")
        return Recipe(self.name, self.version, document)

    def fits(self, attributes: Mapping[str, str]) -> bool:
        """Return whether some manifest is for a device with these platform attributes."""
        return (
            any(_matches(m.get("Platform") or {}, attributes) for m in self.manifests())
            or not self.manifests()
        )

    def to_json(self) -> bytes:
        """Return the recipe as JSON."""
        return json.dumps(self.document).encode()

    def to_yaml(self) -> bytes:
        """Return the recipe as YAML."""
        return yaml.safe_dump(dict(self.document), sort_keys=False).encode()


def parse(source: bytes) -> Recipe:
    """Return the recipe in ``source``, YAML 1.1 or JSON.

    Raises:
        InvalidRequest: not a recipe; the message names the first thing wrong.
    """
    if len(source) > MAX_BYTES:
        raise InvalidRequest(f"Invalid Input: the recipe has {len(source)} bytes, {MAX_BYTES} are allowed")
    try:
        loaded = yaml.safe_load(source)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"Invalid Input: the recipe is neither YAML nor JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise InvalidRequest("Invalid Input: the recipe is not a map")
    document = _spell(json.loads(json.dumps(loaded, default=str)), "recipe")
    _check(document)
    return Recipe(document["ComponentName"], document["ComponentVersion"], document)


def _spell(value: Any, where: str) -> Any:
    """Return ``value`` with structural keys spelled; two keys that differ in case only are refused."""
    if isinstance(value, list):
        return [_spell(child, where) for child in value]
    if not isinstance(value, dict):
        return value
    spelled: dict[str, Any] = {}
    for key, child in value.items():
        name: str = _SPELLED.get(str(key).lower(), str(key))
        if name in spelled:
            raise InvalidRequest(f"Invalid Input: {where} has the key {name} twice")
        spelled[name] = child if name in _VERBATIM else _spell(child, f"{where}.{name}")
    return spelled


def _check(document: dict[str, Any]) -> None:
    def need(condition: object, what: str) -> None:
        if not condition:
            raise InvalidRequest(f"Invalid Input: {what}")

    format_version = document.get("RecipeFormatVersion")
    need(str(format_version) == FORMAT, f"RecipeFormatVersion must be {FORMAT}")
    document["RecipeFormatVersion"] = FORMAT
    name, version = document.get("ComponentName"), document.get("ComponentVersion")
    need(isinstance(name, str) and NAME.match(name), "ComponentName must match [a-zA-Z0-9-_.]+")
    need(not str(name).startswith("aws."), "ComponentName must not begin with aws.")
    try:
        Version.parse(str(version))
    except ValueError as error:
        raise InvalidRequest(f"Invalid Input: ComponentVersion: {error}") from error
    need(isinstance(version, str), "ComponentVersion must be text")
    manifests = document.get("Manifests", [])
    need(isinstance(manifests, list), "Manifests must be a list")
    for number, manifest in enumerate(manifests):
        need(isinstance(manifest, dict), f"Manifests[{number}] must be a map")
        need(isinstance(manifest.get("Platform", {}), dict), f"Manifests[{number}].Platform must be a map")
        need(isinstance(manifest.get("Lifecycle", {}), dict), f"Manifests[{number}].Lifecycle must be a map")
        artifacts = manifest.get("Artifacts", [])
        need(isinstance(artifacts, list), f"Manifests[{number}].Artifacts must be a list")
        for artifact in artifacts:
            need(
                isinstance(artifact, dict) and isinstance(artifact.get("URI"), str),
                f"Manifests[{number}].Artifacts: an artifact has no URI",
            )
    configuration = document.get("ComponentConfiguration", {})
    need(isinstance(configuration, dict), "ComponentConfiguration must be a map")
    need(
        isinstance(configuration.get("DefaultConfiguration", {}), dict), "DefaultConfiguration must be a map"
    )
    dependencies = document.get("ComponentDependencies", {})
    need(isinstance(dependencies, dict), "ComponentDependencies must be a map")
    for dependency, terms in dependencies.items():
        need(isinstance(terms, dict), f"ComponentDependencies.{dependency} must be a map")
        need(
            str(terms.get("DependencyType", "HARD")).upper() in ("HARD", "SOFT"),
            f"ComponentDependencies.{dependency}.DependencyType must be HARD or SOFT",
        )
        try:
            satisfies("1.0.0", str(terms.get("VersionRequirement", "*")))
        except ValueError as error:
            raise InvalidRequest(f"Invalid Input: ComponentDependencies.{dependency}: {error}") from error


def _artifacts(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for manifest in document.get("Manifests") or []:
        yield from manifest.get("Artifacts") or []


def _matches(platform: Mapping[str, Any], attributes: Mapping[str, str]) -> bool:
    """Return whether the attributes fulfil a manifest's platform: equal, ``*``, ``all`` or ``/regex/``."""
    for key, wanted in platform.items():
        text, have = str(wanted), attributes.get(key)
        if text == "*" or (key == "os" and text == "all"):
            continue
        if have is None:
            return False
        if text.startswith("/") and text.endswith("/") and len(text) > 1:
            if not re.fullmatch(text[1:-1], have):
                return False
        elif text != have:
            return False
    return True
