"""Fixtures of the tests of moves: what Greengrass has for each group, and the ports around it."""

from typing import Any

from cloud.aws.account import Account
from cloud.domain.deployments.greengrass import TargetDeployment
from cloud.domain.deployments.greengrass_components import Components
from cloud.functions.groups.add_device_to_group import Ports
from cloud.services.group_membership import GroupMembership
from tests.support.cloud.api import ACCOUNT, REGION


class Deployed:
    """Greengrass: the latest deployment's components by group."""

    def __init__(self) -> None:
        self.components: dict[str, Components] = {}

    def latest(self, target_arn: str) -> TargetDeployment | None:
        components = self.components.get(target_arn.rpartition("/")[2])
        return None if components is None else TargetDeployment("gg-1", "job-1", components)


def ports_of(
    registry: Any, mover: GroupMembership, devices: Any, greengrass: Deployed | None = None
) -> Ports:
    """The ports of ``add_device_to_group``; without ``greengrass`` nothing was ever deployed."""
    return Ports(Account("aws", REGION, ACCOUNT), registry, mover, devices, greengrass or Deployed())
