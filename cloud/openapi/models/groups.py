"""Models of answers about groups, and about their reboots."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from cloud.domain.commands.group_reboot import MemberState
from cloud.domain.commands.group_reboot import State as GroupRebootState
from cloud.domain.deployments.deployment import DeploymentState
from cloud.openapi.models.answers import Answer, Cursor
from cloud.tables.memberships import COUNTED_AT_MOST
from contract.names import GroupName, Identifier, Nucleus, ThingName


class LatestDeployment(Answer):
    """The newest deployment of a group."""

    deployment: Identifier
    revision: int
    state: DeploymentState


class GroupTrouble(LatestDeployment):
    """What is wrong with the group's current deployment, as the last check found it.

    It was minutes ago where that is young, was given another agent or has lost agents, else up to six hours;
    `GET /deployments/{deployment}` looks itself.
    """

    code: Annotated[str, Field(description="`agent-lost` or `refused-by-all`.")]
    message: str


class Group(Answer):
    """A group that can be deployed to."""

    name: GroupName
    nucleus: Annotated[
        Nucleus | None,
        Field(description="Of all its devices; null: not said, and no device has said which one it has yet."),
    ]
    devices: Annotated[
        int, Field(ge=0, le=COUNTED_AT_MOST, description="How many, as far as they are counted.")
    ]
    devices_exact: Annotated[bool, Field(description="False: the group has more devices than `devices`.")]
    latest: LatestDeployment | None
    trouble: GroupTrouble | None = None


class GroupCreated(Group):
    """A group as it was created."""

    description: str | None


class GroupPage(Answer):
    """Groups as the IoT registry lists them. A page may be short and not the last."""

    groups: list[Group]
    cursor: Cursor


class DevicePlaced(Answer):
    """The group that a device is in now, and the one before."""

    device: ThingName
    group: GroupName | None
    before: GroupName | None


class MemberOfReboot(Answer):
    """One device of a group reboot."""

    device: ThingName
    state: MemberState
    changed_at: datetime | None
    command: Identifier | None = None
    started_at: datetime | None = None
    code: str | None = None
    inferred: bool | None = None


class GroupRebootSubmitted(Answer):
    """A group reboot as it was requested."""

    id: Identifier
    group: GroupName
    state: GroupRebootState
    reason: str
    requested_by: str
    requested_at: datetime
    max_concurrent: int
    stop_after_failures: int
    force: bool
    expires_in_s: float


class GroupRebootCancelled(GroupRebootSubmitted):
    """A group reboot that starts no further device."""

    stopped_by: str | None
    cancelled_by: str | None
    started_at: datetime | None
    ended_at: datetime | None
    progress: float | None
    counts: dict[str, int | None]
    in_flight: list[MemberOfReboot]
    failures: list[MemberOfReboot]
    warnings: list[str] = []


class GroupReboot(GroupRebootCancelled):
    """The progress of a group reboot, and a page of its devices in order of name."""

    members: list[MemberOfReboot]
    cursor: Cursor
