"""The port to Greengrass, the control plane."""

from typing import Protocol

from cloud.domain.deployments.greengrass import Submitted, TargetDeployment
from cloud.domain.deployments.greengrass_components import Components
from cloud.domain.devices.diagnosis_facts import Job


class Greengrass(Protocol):
    """Deployments and component versions of one account and region."""

    def latest(self, target_arn: str) -> TargetDeployment | None: ...
    def components(self, greengrass_id: str) -> Components | None: ...
    def newest(self, component_arn: str) -> str | None: ...
    def on_device(self, device: str, greengrass_id: str) -> Job | None: ...
    def create(
        self, target_arn: str, *, name: str, components: Components, client_token: str
    ) -> Submitted: ...
