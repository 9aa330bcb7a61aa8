"""Greengrass v2 deployments: the latest of a target, and a new one. Decides nothing about components."""

from datetime import UTC
from typing import Any, cast

from cloud.aws.clients import translated
from cloud.aws.errors import NotFound
from cloud.defaults import (
    COMPONENT_UPDATE_S,
    CONFIGURATION_VALIDATION_S,
    DEPLOYMENT_TIMEOUT_MIN,
)
from cloud.domain.deployments.greengrass import Submitted, TargetDeployment
from cloud.domain.deployments.greengrass_components import Components
from cloud.domain.devices.diagnosis_facts import Job


class Greengrass:
    """The control plane of this account and region."""

    def __init__(self, greengrassv2: Any) -> None:
        self._greengrass = greengrassv2

    def latest(self, target_arn: str) -> TargetDeployment | None:
        """Return the newest deployment of the target, whatever became of it; None where there is none."""
        with translated():
            listed = self._greengrass.list_deployments(
                targetArn=target_arn, historyFilter="LATEST_ONLY", maxResults=1
            )
            if not listed["deployments"]:
                return None
            found = self._greengrass.get_deployment(deploymentId=listed["deployments"][0]["deploymentId"])
        return TargetDeployment(found["deploymentId"], found.get("iotJobId"), found.get("components", {}))

    def components(self, greengrass_id: str) -> Components | None:
        """Return the component set of a deployment; None where there is no such deployment."""
        try:
            with translated():
                found = self._greengrass.get_deployment(deploymentId=greengrass_id)
        except NotFound:
            return None
        return cast(Components, found.get("components", {}))

    def newest(self, component_arn: str) -> str | None:
        """Return the newest published version of a component; None where there is none."""
        try:
            with translated():
                listed = self._greengrass.list_component_versions(arn=component_arn, maxResults=1)
        except NotFound:
            return None
        versions = listed["componentVersions"]  # the greatest comes first
        return str(versions[0]["componentVersion"]) if versions else None

    def on_device(self, device: str, greengrass_id: str) -> Job | None:
        """Return the deployment's status on one core device; None when it was not rolled out to it (yet)."""
        try:
            with translated():
                answer = self._greengrass.list_effective_deployments(
                    coreDeviceThingName=device, maxResults=100
                )
        except NotFound:  # a core that is unknown to Greengrass
            return None
        for found in answer["effectiveDeployments"]:
            if found["deploymentId"] == greengrass_id:
                changed_at = found.get("modifiedTimestamp")
                return Job(
                    found["coreDeviceExecutionStatus"],
                    found.get("reason"),
                    changed_at and changed_at.astimezone(UTC),
                )
        return None

    def create(self, target_arn: str, *, name: str, components: Components, client_token: str) -> Submitted:
        """Create a deployment that replaces the target's whole component set.

        The same ``client_token`` with the same content is the same deployment.

        Raises:
            Conflict: another operation on the target is under way, or the token was used otherwise.
            Refused: it was not created.
            Unavailable: it is unknown whether it was created.
        """
        with translated():
            created = self._greengrass.create_deployment(
                targetArn=target_arn,
                deploymentName=name,
                components=components,
                clientToken=client_token,
                iotJobConfiguration={"timeoutConfig": {"inProgressTimeoutInMinutes": DEPLOYMENT_TIMEOUT_MIN}},
                deploymentPolicies={
                    "failureHandlingPolicy": "ROLLBACK",
                    "componentUpdatePolicy": {
                        "timeoutInSeconds": int(COMPONENT_UPDATE_S),
                        "action": "NOTIFY_COMPONENTS",
                    },
                    "configurationValidationPolicy": {"timeoutInSeconds": int(CONFIGURATION_VALIDATION_S)},
                },
            )
        return Submitted(created["deploymentId"], created.get("iotJobId"))
