"""The moves of devices between groups: the row, and the registry."""

from cloud.services.group_membership import GroupMembership
from cloud.wiring.groups import groups
from cloud.wiring.memberships import memberships


def group_membership() -> GroupMembership:
    return GroupMembership(memberships(), groups())
