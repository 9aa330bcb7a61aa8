"""A deployment's document, and what it changes on a device. Pure but for the store it is given.

A device belongs to several targets (its group, itself); what it runs is the union of their latest
deployments, and a component that no target names any more is removed.

Errors::

    DocumentRefused         the job is no deployment this core understands
    RootsRefused            the deployment is one for the other kind of nucleus
    DeploymentRejected      classic had a newer one of the same group
    DeploymentFailed        with Greengrass's words for the job's status details
    PowerLost               nobody is there any more to say what became of it
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from local.greengrass.nucleus.components.recipe import Recipe, parse
from local.greengrass.nucleus.deployments.component_store import ComponentStore
from local.greengrass.nucleus.dialect import Dialect


class DocumentRefused(Exception):
    """The document cannot be carried out; nothing was changed."""

    code = "DEPLOYMENT_DOCUMENT_NOT_VALID"


class DeploymentFailed(Exception):
    """The deployment did not come about; ``state`` is ``detailed-deployment-status``."""

    def __init__(self, state: str, code: str, cause: str) -> None:
        super().__init__(cause)
        self.state = state
        self.code = code


class DeploymentRejected(Exception):
    """Classic has carried out a newer deployment of the same group; nothing was changed."""

    code = "REJECTED_STALE_DEPLOYMENT"


class PowerLost(Exception):
    """The machine went off in the middle; the next power-on goes on."""


class RootsRefused(Exception):
    """A deployment to Lite names a component of the classic nucleus itself."""

    code = "COMPONENT_VERSION_REQUIREMENTS_NOT_MET"


#: What belongs to a nucleus; Lite passes over these where they are dependencies.
CLASSIC_OWN = frozenset(
    {"aws.greengrass.Nucleus", "aws.greengrass.TokenExchangeService", "aws.greengrass.Cli"}
)


_GROUP = "thinggroup/"


def _from_json_text(value: object) -> object:
    """Cloud deployments carry ``merge`` as a map; CreateDeployment's own form is JSON text."""
    if isinstance(value, str):
        return json.loads(value or "{}")
    return value


class Update(BaseModel):
    """Changes of one component's configuration: first the resets, then the merge."""

    merge: Annotated[dict[str, Any], BeforeValidator(_from_json_text)] = Field(default_factory=dict)
    reset: list[str] = Field(default_factory=list)


class RunWith(BaseModel):
    """The user that one component runs as instead of the default user; classic only."""

    posixUser: str | None = None


class Wanted(BaseModel):
    """One component of a deployment."""

    version: str
    configurationUpdate: Update = Field(default_factory=Update)
    runWith: RunWith | None = None


class UpdatePolicy(BaseModel):
    """Whether components are asked before an update, and how long each may take to answer."""

    timeout: float = 60
    action: Literal["NOTIFY_COMPONENTS", "SKIP_NOTIFY_COMPONENTS"] = "NOTIFY_COMPONENTS"


class ValidationPolicy(BaseModel):
    """The time that a component has to validate its new configuration."""

    timeout: float = 20


class Document(BaseModel):
    """The job's document as Greengrass writes it; what this core does not use is passed over."""

    model_config = ConfigDict(extra="ignore")

    configurationArn: str
    deploymentId: str
    creationTimestamp: int
    components: dict[str, Wanted] = Field(default_factory=dict)
    failureHandlingPolicy: str = "ROLLBACK"
    componentUpdatePolicy: UpdatePolicy = Field(default_factory=UpdatePolicy)
    configurationValidationPolicy: ValidationPolicy = Field(default_factory=ValidationPolicy)

    @property
    def target(self) -> str:
        """Return what is deployed to, e.g. ``thinggroup/line-3``: the ARN without its revision."""
        return self.configurationArn.partition(":configuration:")[2].rpartition(":")[0]


def read(document: Mapping[str, Any]) -> Document:
    """Return the deployment in a job's document.

    Raises:
        DocumentRefused
    """
    try:
        return Document.model_validate(document)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise DocumentRefused(f"{where}: {error.errors()[0]['msg']}") from error


class Target(BaseModel):
    """The latest deployment of one target."""

    deployment_id: str
    configuration_arn: str = ""
    created_at_ms: int
    components: dict[str, str]


class Installed(BaseModel):
    """``deployments.json``: what the device runs and why; survives power cycles."""

    targets: dict[str, Target] = Field(default_factory=dict)
    components: dict[str, str] = Field(default_factory=dict)
    posix_users: dict[str, str] = Field(default_factory=dict)  # by component, where a deployment said so

    def with_deployment(self, document: Document) -> "Installed":
        """Return the state in which ``document`` is its target's latest deployment."""
        latest = Target(
            deployment_id=document.deploymentId,
            configuration_arn=document.configurationArn,
            created_at_ms=document.creationTimestamp,
            components={name: wanted.version for name, wanted in document.components.items()},
        )
        users = dict(self.posix_users)
        for name, wanted in document.components.items():
            if wanted.runWith is not None:
                users[name] = (wanted.runWith.posixUser or "").partition(":")[0]
        return Installed(
            targets={**self.targets, document.target: latest},
            components=self.components,
            posix_users={name: user for name, user in users.items() if user},
        )

    def of_groups(self, groups: Collection[str]) -> "Installed":
        """Return the state without the deployments of groups that are none of ``groups``."""
        targets = {
            target: deployment
            for target, deployment in self.targets.items()
            if not target.startswith(_GROUP) or target.removeprefix(_GROUP) in groups
        }
        return self.model_copy(update={"targets": targets})

    def refuse_stale(self, document: Document) -> None:
        """Let through what is not older than what its group brought before (DeploymentService, 2.18).

        Raises:
            DeploymentRejected
        """
        last = self.targets.get(document.target)
        if last is None or not document.target.startswith(_GROUP):
            return
        if document.creationTimestamp < last.created_at_ms:
            raise DeploymentRejected(
                f"Nucleus has a newer deployment for '{document.target}' target deployed by "
                f"'{last.configuration_arn}'. Rejecting the deployment from '{document.configurationArn}'"
            )

    def roots(self) -> dict[str, dict[str, str]]:
        """Return for each component that a target names: target → version."""
        wanted: dict[str, dict[str, str]] = {}
        for target, deployment in self.targets.items():
            for name, version in deployment.components.items():
                wanted.setdefault(name, {})[target] = version
        return wanted


@dataclass(frozen=True, slots=True)
class Resolution:
    """All recipes of a device, dependencies before what needs them, with their sources to keep."""

    recipes: Sequence[Recipe]
    sources: Mapping[str, bytes] = field(default_factory=dict)


def resolve(
    roots: Mapping[str, Mapping[str, str]], store: ComponentStore, *, architecture: str, dialect: Dialect
) -> Resolution:
    """Return what the roots need, asking ``store`` again until no dependency is new.

    Raises:
        ComponentError: from the store.
        RecipeRefused: no manifest for this device.
        DocumentRefused: components depend on each other in a circle.
        RootsRefused: the deployment names what this nucleus has no version of.
    """
    if dialect.refuses_classic_roots and (refused := sorted(roots.keys() & CLASSIC_OWN)):
        # Lite looks every root up in the cloud, for its own runtime, where these have nothing.
        raise RootsRefused(f"Failed to do dependency resolution for deployment: {', '.join(refused)}")
    wanted = {name: dict(requirements) for name, requirements in roots.items()}
    sources: dict[str, bytes] = {}
    recipes: dict[str, Recipe] = {}
    asked: dict[str, dict[str, str]] = {}
    while wanted != asked:
        asked = {name: dict(requirements) for name, requirements in wanted.items()}
        sources = store.resolve(asked)
        recipes = {
            name: parse(source, architecture=architecture, dialect=dialect)
            for name, source in sources.items()
        }
        for recipe in recipes.values():
            for dependency, requirement in recipe.dependencies.items():
                if dialect.kind == "lite" and dependency in CLASSIC_OWN:
                    continue  # it has its own, which no deployment resolves or installs
                wanted.setdefault(dependency, {})[recipe.name] = requirement
    return Resolution(in_order(recipes), sources)


def in_order(recipes: Mapping[str, Recipe]) -> list[Recipe]:
    """Return the recipes, dependencies first.

    Raises:
        DocumentRefused: they depend on each other in a circle.
    """
    graph = {
        name: {dependency for dependency in recipe.dependencies if dependency in recipes}
        for name, recipe in recipes.items()
    }
    try:
        return [recipes[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        raise DocumentRefused(f"components depend on each other: {error.args[1]}") from error
