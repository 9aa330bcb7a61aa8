"""A deployment: one revision of a target's applications. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # most who know deployments make none, and the model is a tenth of a cold start
    from contract.desired import Application


class DeploymentState(StrEnum):
    """The state of a revision.

    SUBMITTING → ACTIVE → SUCCEEDED | SUPERSEDED, or SUBMITTING → FAILED.
    """

    SUBMITTING = "SUBMITTING"  # decided and written down; Greengrass may or may not have it
    ACTIVE = "ACTIVE"  # Greengrass has it; not every device runs it yet
    SUCCEEDED = "SUCCEEDED"  # at one moment every device of the target ran it
    FAILED = "FAILED"  # Greengrass refused it; no device ever sees it
    SUPERSEDED = "SUPERSEDED"  # a newer revision took its place before every device ran it


@dataclass(frozen=True, slots=True)
class Pinned:
    """An application of a revision, as far as later diffs need it."""

    name: str
    image: str  # by digest
    configuration: str  # a digest of everything but the image

    @classmethod
    def of(cls, application: "Application") -> "Pinned":
        """Return what is kept of ``application``; environment values are not."""
        without_image = application.model_copy(update={"image": "-"})
        return cls(application.name, application.image, without_image.wish_digest())


@dataclass(frozen=True, slots=True)
class Deployment:
    """One row: immutable but for its outcome."""

    id: str
    target: str
    revision: int
    document_uri: str
    applications: tuple[Pinned, ...]
    diff: Mapping[str, Sequence[Any]]
    warnings: tuple[str, ...]
    requested_by: str
    reason: str | None
    created_at: datetime
    changed_at: datetime
    state: DeploymentState = DeploymentState.SUBMITTING
    code: str | None = None
    message: str | None = None
    greengrass_id: str | None = None
    job_id: str | None = None
    carried_at: datetime | None = None  # when another Greengrass deployment was made that brings it
    agents_lost: int = 0  # as the sweep saw it last, of this one or of the one that it took over from
    #: Earlier moments at which the target was given something, so far as agents may be silent since.
    watched_at: tuple[datetime, ...] = ()
    asked: str | None = (
        None  # the member that Greengrass was asked for last; the next ones are asked for next
    )
    #: When it must be looked at again, as it was read; None: never. Bookkeeping, no part of the deployment.
    due_at: datetime | None = field(default=None, compare=False)

    @property
    def deployed_at(self) -> datetime:
        """The time at which devices were last given this deployment."""
        return self.carried_at or self.created_at

    @property
    def given_at(self) -> tuple[datetime, ...]:
        """The times of the changes whose silenced agents this deployment reports."""
        return (*self.watched_at, *self.own_given_at)

    @property
    def own_given_at(self) -> tuple[datetime, ...]:
        """The times at which devices were given this deployment: its creation, and its last redeployment."""
        return (self.created_at,) if self.carried_at is None else (self.created_at, self.carried_at)

    @property
    def group(self) -> str:
        """The group that is deployed to."""
        return group_of(self.target)


@dataclass(frozen=True, slots=True)
class DeploymentSummary:
    """A deployment as lists show it."""

    id: str
    target: str
    revision: int
    state: DeploymentState
    requested_by: str
    reason: str | None
    created_at: datetime
    changed_at: datetime
    code: str | None = None
    message: str | None = None

    @property
    def group(self) -> str:
        """The group that is deployed to."""
        return group_of(self.target)


def wanted_of(newest_first: Iterable[Deployment]) -> Deployment | None:
    """Return the deployment that a target's devices should have: the newest that was not refused.

    Greengrass may not have it yet.
    """
    return next((each for each in newest_first if each.state is not DeploymentState.FAILED), None)


def in_force(newest_first: Iterable[Deployment]) -> Deployment | None:
    """Return the newest of a target's deployments that Greengrass has for certain."""
    unsure = (DeploymentState.FAILED, DeploymentState.SUBMITTING)
    return next((each for each in newest_first if each.state not in unsure), None)


def group_of(target: str) -> str:
    """Return the group of a target, ``thinggroup/{group}``."""
    return target.partition("/")[2]


def target_of(group: str) -> str:
    """Return what ``group`` is called as a target."""
    return f"thinggroup/{group}"


def diff(before: Iterable[Pinned], after: Iterable[Pinned]) -> dict[str, list[Any]]:
    """Return what changes from ``before`` to ``after``: names added, removed, unchanged, and the changes."""
    old = {application.name: application for application in before}
    new = {application.name: application for application in after}
    return {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": [
            {
                "name": name,
                "from_image": old[name].image,
                "to_image": new[name].image,
                "configuration_changed": old[name].configuration != new[name].configuration,
            }
            for name in sorted(old.keys() & new.keys())
            if old[name] != new[name]
        ],
        "unchanged": sorted(name for name in old.keys() & new.keys() if old[name] == new[name]),
    }
