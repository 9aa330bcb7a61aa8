"""The request body of ``POST /deployments``."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cloud.domain.deployments.image_references import PATTERN
from contract.applications import Application
from contract.defaults import APPLICATIONS_MAX, WINDOWS_MAX
from contract.desired import MaintenanceWindow
from contract.names import GroupName


class WantedApplication(Application):
    """An application as an operator writes it: its image may be a tag."""

    image: Annotated[str, StringConstraints(pattern=PATTERN, max_length=400)]


class TargetRequest(BaseModel):
    """The target of a deployment."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    group: GroupName

    @property
    def arn_part(self) -> str:
        """The resource part of the target's ARN."""
        return f"thinggroup/{self.group}"


class DeploymentRequest(BaseModel):
    """Request body of a deployment. An empty list of applications removes all of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    target: TargetRequest
    applications: Annotated[list[WantedApplication], Field(max_length=APPLICATIONS_MAX)]
    atomic: bool = False
    windows: Annotated[list[MaintenanceWindow], Field(max_length=WINDOWS_MAX)] = []
    delete_volumes: bool = False
    force: bool = False
    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
