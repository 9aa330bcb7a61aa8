"""Fixtures of the tests of moves: the ports around them."""

from typing import Any

from cloud.aws.account import Account
from cloud.functions.groups.add_device_to_group import Ports
from cloud.services.group_membership import GroupMembership
from tests.support.cloud.api import ACCOUNT, REGION
from tests.support.cloud.fakes import FakeGreengrass


def ports_of(
    registry: Any, mover: GroupMembership, devices: Any, greengrass: FakeGreengrass | None = None
) -> Ports:
    """The ports of ``add_device_to_group``; without ``greengrass`` nothing was ever deployed."""
    return Ports(Account("aws", REGION, ACCOUNT), registry, mover, devices, greengrass or FakeGreengrass())
