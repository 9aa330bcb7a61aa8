"""Component versions: created from recipes, listed, shown, and resolved for a device."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.greengrass.control_plane import public, recipes
from local.greengrass.control_plane.emulator import Emulator
from local.greengrass.control_plane.errors import Conflict, InvalidRequest, NotFound
from local.greengrass.control_plane.names import ComponentArn, Place
from local.greengrass.control_plane.recipes import Recipe
from local.greengrass.control_plane.records import Records
from local.greengrass.control_plane.versions import Version, satisfies

AWS = "aws"


@dataclass(frozen=True, slots=True)
class Component:
    """One component version; ``owner`` is the account, or ``aws`` for a public one."""

    arn: str
    owner: str
    recipe: Recipe
    created_at: float
    tags: Mapping[str, str]


class Components:
    """Every component version there is, of the account and of AWS."""

    def __init__(self, records: Records, emulator: Emulator, place: Place, now: Callable[[], float]) -> None:
        self._records = records
        self._emulator = emulator
        self._place = place
        self._now = now

    def create(self, body: Mapping[str, Any], who: str) -> dict[str, Any]:
        """Return CreateComponentVersion's answer; the version is deployable at once.

        Raises:
            InvalidRequest: no good recipe, or an artifact that cannot be read.
            Conflict: the version exists (unless this very request made it).
        """
        if body.get("inlineRecipe") is None:
            raise InvalidRequest(
                "Invalid Input: inlineRecipe is required; Lambda functions are not imported here"
            )
        source = _decoded(body["inlineRecipe"])
        recipe = recipes.parse(source)
        fingerprint = hashlib.sha256(source).hexdigest()
        key, token = f"{recipe.name}:{recipe.version}", body.get("clientToken")
        existing = self._records.get(key)
        if existing is not None:
            if token is None or (existing["client_token"], existing["fingerprint"]) != (token, fingerprint):
                raise Conflict(
                    f"Component [{recipe.name} : {recipe.version}] for account [{self._place.account}] "
                    "already exists with state: [DEPLOYABLE]",
                    kind="component-version",
                    id=self._arn(recipe, self._place.account),
                )
            return self._created(self._component(existing))
        record = {
            "recipe": dict(self._with_digests(recipe).document),
            "created_at": self._now(),
            "created_by": who,
            "client_token": token,
            "fingerprint": fingerprint,
            "tags": body.get("tags") or {},
        }
        self._records.put(key, record)
        return self._created(self._component(record))

    def list_versions(self, arn: str) -> list[dict[str, Any]]:
        """Return ListComponentVersions' entries, newest version first; none for an unknown component."""
        wanted = ComponentArn.parse(arn, versioned=False)
        return [
            {"arn": c.arn, "componentName": c.recipe.name, "componentVersion": c.recipe.version}
            for c in self._versions(wanted.name)
            if c.owner == wanted.owner
        ]

    def list_latest(self, scope: str) -> list[dict[str, Any]]:
        """Return ListComponents' entries, by name, each with its latest version."""
        if scope not in ("PRIVATE", "PUBLIC"):
            raise InvalidRequest("Invalid Input: scope must be PRIVATE or PUBLIC")
        latest: dict[str, Component] = {}
        for component in self._all():
            name = component.recipe.name
            if (component.owner == AWS) == (scope == "PUBLIC") and (
                name not in latest or _newness(component) > _newness(latest[name])
            ):
                latest[name] = component
        return [
            {
                "arn": self._place.component(name, owner=component.owner),
                "componentName": name,
                "latestVersion": {
                    "arn": component.arn,
                    "componentVersion": component.recipe.version,
                    "creationTimestamp": component.created_at,
                    **_description(component.recipe),
                    "platforms": component.recipe.platforms(),
                },
            }
            for name, component in sorted(latest.items())
        ]

    def recipe(self, arn: str, output: str) -> dict[str, Any]:
        """Return GetComponent's answer: the recipe with its artifacts' digests, as JSON or YAML."""
        component = self._named(arn)
        match output:
            case "JSON":
                content = component.recipe.to_json()
            case "YAML":
                content = component.recipe.to_yaml()
            case _:
                raise InvalidRequest("Invalid Input: recipeOutputFormat must be JSON or YAML")
        return {
            "recipeOutputFormat": output,
            "recipe": base64.b64encode(content).decode(),
            "tags": dict(component.tags),
        }

    def describe(self, arn: str) -> dict[str, Any]:
        """Return DescribeComponent's answer."""
        component = self._named(arn)
        return {
            **self._created(component),
            **_description(component.recipe),
            "platforms": component.recipe.platforms(),
            "tags": dict(component.tags),
        }

    def exists(self, name: str, version: str) -> bool:
        """Return whether a deployment may name this version."""
        return any(component.recipe.version == version for component in self._versions(name))

    def resolve(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return, for each candidate, the newest version that meets every requirement and fits the platform.

        A candidate's ``componentVersion`` (what the device has) is preferred while it qualifies.

        Raises:
            NotFound: a candidate has no such version.
        """
        attributes = {k: str(v) for k, v in ((body.get("platform") or {}).get("attributes") or {}).items()}
        candidates = body.get("componentCandidates")
        if not isinstance(candidates, list) or not candidates:
            raise InvalidRequest("Invalid Input: componentCandidates must not be empty")
        resolved = [self._resolve_one(candidate, attributes) for candidate in candidates]
        return [
            {
                "arn": component.arn,
                "componentName": component.recipe.name,
                "componentVersion": component.recipe.version,
                "recipe": base64.b64encode(component.recipe.to_json()).decode(),
                "vendorGuidance": "ACTIVE",
            }
            for component in resolved
        ]

    def _resolve_one(self, candidate: Mapping[str, Any], attributes: Mapping[str, str]) -> Component:
        name, requirements = candidate.get("componentName"), candidate.get("versionRequirements") or {}
        if not isinstance(name, str) or not isinstance(requirements, dict):
            raise InvalidRequest("Invalid Input: a candidate needs componentName and versionRequirements")
        try:
            fitting = [
                component
                for component in self._versions(name)
                if all(satisfies(component.recipe.version, str(wanted)) for wanted in requirements.values())
                and component.recipe.fits(attributes)
            ]
        except ValueError as error:
            raise InvalidRequest(f"Invalid Input: versionRequirements of {name}: {error}") from error
        if not fitting:
            raise NotFound(
                f"No version of component {name} satisfies {json.dumps(requirements)}"
                f" on {json.dumps(dict(attributes))}",
                kind="component",
                id=name,
            )
        return next((c for c in fitting if c.recipe.version == candidate.get("componentVersion")), fitting[0])

    def _with_digests(self, recipe: Recipe) -> Recipe:
        digests: dict[str, str] = {}
        unreadable: list[str] = []
        for uri in dict.fromkeys(recipe.artifact_uris()):
            digest = self._emulator.artifact_sha256(uri)
            if digest is None:
                unreadable.append(f"{uri} = Specified artifact resource cannot be accessed")
            else:
                digests[uri] = base64.b64encode(digest).decode()
        if unreadable:
            raise InvalidRequest(
                f"Invalid Input: Encountered following errors in Artifacts: {{{', '.join(unreadable)}}}"
            )
        return recipe.with_digests(digests)

    def _all(self) -> Iterator[Component]:
        for record in self._records:
            yield self._component(record)
        for recipe in public.RECIPES:
            yield Component(self._arn(recipe, AWS), AWS, recipe, 0.0, {})

    def _versions(self, name: str) -> list[Component]:
        found = [component for component in self._all() if component.recipe.name == name]
        return sorted(found, key=_newness, reverse=True)

    def _named(self, arn: str) -> Component:
        ComponentArn.parse(arn, versioned=True)
        for component in self._all():
            if component.arn == arn:
                return component
        raise NotFound(f"Component version {arn} does not exist", kind="component-version", id=arn)

    def _component(self, record: Mapping[str, Any]) -> Component:
        document = record["recipe"]
        recipe = Recipe(document["ComponentName"], document["ComponentVersion"], document)
        owner = self._place.account
        return Component(self._arn(recipe, owner), owner, recipe, record["created_at"], record["tags"])

    def _arn(self, recipe: Recipe, owner: str) -> str:
        return f"{self._place.component(recipe.name, owner=owner)}:versions:{recipe.version}"

    @staticmethod
    def _created(component: Component) -> dict[str, Any]:
        return {
            "arn": component.arn,
            "componentName": component.recipe.name,
            "componentVersion": component.recipe.version,
            "creationTimestamp": component.created_at,
            "status": {"componentState": "DEPLOYABLE", "message": "NONE", "errors": {}},
        }


def _newness(component: Component) -> Version:
    return Version.parse(component.recipe.version)


def _description(recipe: Recipe) -> dict[str, str]:
    words = {"description": "ComponentDescription", "publisher": "ComponentPublisher"}
    return {member: str(recipe.document[key]) for member, key in words.items() if recipe.document.get(key)}


def _decoded(blob: object) -> bytes:
    try:
        return base64.b64decode(str(blob), validate=True)
    except binascii.Error as error:
        raise InvalidRequest("Invalid Input: inlineRecipe is not base64") from error
