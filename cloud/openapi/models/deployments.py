"""Models of answers about deployments."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from cloud.domain.deployments.deployment import DeploymentState
from cloud.domain.deployments.deployment_outcomes import OutcomeState
from cloud.openapi.models.answers import Answer, Cursor
from contract.applications import Application
from contract.names import ApplicationName, GroupName, Identifier, ThingName


class TargetOfDeployment(Answer):
    """The target of a deployment."""

    group: GroupName


class ApplicationChange(Answer):
    """The difference of an application to the revision before."""

    name: ApplicationName
    from_image: str
    to_image: str
    configuration_changed: bool


class Diff(Answer):
    """The changes of a revision against the one before."""

    added: list[str]
    removed: list[str]
    changed: list[ApplicationChange]
    unchanged: list[str]


class DeploymentCreated(Answer):
    """A revision as it was created, its images by digest."""

    id: Identifier
    target: TargetOfDeployment
    revision: int
    state: DeploymentState
    applications: list[Application]
    diff: Diff
    warnings: list[str]
    created_at: datetime


class DeploymentSummary(Answer):
    """A deployment in a list, as last written; ``code`` and ``message``: why it failed, or its trouble."""

    id: Identifier
    target: TargetOfDeployment
    revision: int
    state: DeploymentState
    requested_by: str
    reason: str | None
    created_at: datetime
    changed_at: datetime
    code: str | None = None
    message: str | None = None


class DeploymentPage(Answer):
    """Deployments, newest first. A page may be short and not the last."""

    deployments: list[DeploymentSummary]
    cursor: Cursor


class ApplicationOfRevision(Answer):
    """An application of a revision."""

    name: ApplicationName
    image: str


class DeviceOutcome(Answer):
    """The outcome of a deployment on one device."""

    device: ThingName
    state: OutcomeState
    application: str | None = None
    code: str | None = None
    message: str | None = None
    refused: Annotated[
        bool | None,
        Field(description="True: it will not follow this revision; the one before stays in force."),
    ] = None
    received_at: datetime | None = None


class Deployment(Answer):
    """A revision, and its outcome on each device."""

    id: Identifier
    target: TargetOfDeployment
    revision: int
    state: DeploymentState
    applications: list[ApplicationOfRevision]
    diff: Diff
    warnings: list[str]
    requested_by: str
    reason: str | None = None
    created_at: datetime
    changed_at: datetime
    counts: dict[str, int]
    devices: list[DeviceOutcome]
    code: str | None = None
    message: str | None = None
    greengrass_id: str | None = None
    job_id: str | None = None
