"""Greengrass deployments as values. Pure."""

from dataclasses import dataclass

from cloud.domain.deployments.greengrass_components import (
    Components,
)


@dataclass(frozen=True, slots=True)
class Submitted:
    """The ids that Greengrass gave a deployment."""

    greengrass_id: str
    job_id: str | None


@dataclass(frozen=True, slots=True)
class TargetDeployment:
    """The newest Greengrass deployment of a target, ours or not."""

    greengrass_id: str
    job_id: str | None
    components: Components
