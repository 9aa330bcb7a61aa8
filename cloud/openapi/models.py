"""What the API answers, as models. They describe; the handlers build their answers without them.

``tests/api`` holds every answer of the running API against them.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cloud.audit import Outcome
from cloud.deploy.outcomes import OutcomeState
from cloud.deploy.revision import DeploymentState
from cloud.group_reboot import MemberState
from cloud.group_reboot import State as GroupRebootState
from contract.applications import Application
from contract.commands import Bundle, CommandState
from contract.names import ApplicationName, GroupName, Identifier, ThingName
from contract.reports import ApplicationStatus, DesiredStatus, HostHealth

Cursor = Annotated[str | None, Field(description="Of the next page; null on the last one.")]
Presence = Literal["online", "stale", "offline", "unknown"]
Kind = Literal[
    "reboot", "restart-application", "retry-application", "report-now", "collect-logs", "rotate-secrets"
]


class Answer(BaseModel):
    """What all answers share: further members may come."""

    model_config = ConfigDict(extra="allow", frozen=True)


class FieldError(Answer):
    """One wrong field of a request's body."""

    field: str
    message: str
    type: str


class Problem(Answer):
    """RFC 9457; ``code`` is stable, ``detail`` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    field: str | None = None
    errors: list[FieldError] = []


class GatewayMessage(BaseModel):
    """The gateway's own answer: no token, a refused one, too many requests, its own failures."""

    model_config = ConfigDict(frozen=True)

    message: str | None


class DeviceSummary(Answer):
    """A device in a list."""

    name: ThingName
    group: GroupName | None
    state: Presence
    reason: str
    since: datetime | None
    flap_count: Annotated[int, Field(description="Disconnects within the last hour; 20 means 20 or more.")]
    disconnect_reason: str | None
    clock_skew_s: Annotated[float | None, Field(description="The device's time minus the server's.")]
    last_report_at: datetime | None
    agent_version: str | None
    architecture: str | None
    engine: str | None
    desired: DesiredStatus | None


class ApplicationOnDevice(ApplicationStatus):
    """An application as the device reported it."""

    revision: int | None


class DeviceDetail(DeviceSummary):
    """A device with its health and applications."""

    enrolled_at: datetime
    boot_id: str | None
    heartbeat_s: float | None
    malformed_messages: int
    health: HostHealth | None
    applications: list[ApplicationOnDevice]


class DevicePage(Answer):
    """Devices in order of name. A page may be short and not the last."""

    devices: list[DeviceSummary]
    cursor: Cursor


class Cause(Answer):
    """One reason why a device is not on its desired revision, with its evidence."""

    code: str
    message: str
    application: str | None = None
    since: datetime | None = None
    next_try_at: datetime | None = None
    evidence: dict[str, Any] | None = None


class DesiredRevision(Answer):
    """What the device should run."""

    revision: int
    deployment: Identifier


class RevisionOnDevice(Answer):
    """What the device says that it works on."""

    revision: int | None
    deployment_id: str | None
    state: str | None


class Explanation(Cause):
    """The first cause, and all of them in the order of the chain from the wish to the container."""

    device: ThingName
    as_desired: bool
    desired: DesiredRevision | None
    on_device: RevisionOnDevice
    causes: list[Cause]
    asked_at: datetime


class CommandAccepted(Answer):
    """A command as it was made, with its kind's own parameters; its Location tells how it goes on."""

    id: Identifier
    device: ThingName
    kind: Kind
    state: CommandState
    issued_at: datetime
    expires_at: Annotated[datetime, Field(description="The latest start.")]
    requested_by: str
    reason: str
    part_of: Annotated[Identifier | None, Field(description="The group reboot that it belongs to.")]
    when_online: bool
    warnings: list[str]


class CommandSummary(CommandAccepted):
    """How a command stands. ``inferred``: concluded from silence; the device's own word replaces it."""

    inferred: bool
    changed_at: datetime
    code: str | None = None


class CommandPage(Answer):
    """A device's commands, newest first."""

    commands: list[CommandSummary]
    cursor: Cursor


class Transition(Answer):
    """One step in a command's life."""

    state: CommandState
    at: datetime
    by: str | None = None
    code: str | None = None
    device_time: datetime | None = None


class BundleOnOffer(Bundle):
    """A bundle of logs; ``url`` fetches it, for operators and for five minutes."""

    url: str | None = None


class Command(CommandSummary):
    """Everything known of a command: how it came to stand so, and what the device gave as proof."""

    transitions: list[Transition]
    message: str | None = None
    boot_id_before: str | None = None
    boot_id: str | None = None
    down_s: float | None = None
    clock: Literal["server", "device"] | None = None
    log_lines: list[str] | None = None
    bundle: BundleOnOffer | None = None


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
    """A group reboot as it was asked for."""

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
    """How far a group reboot is, and a page of its devices in order of name."""

    members: list[MemberOfReboot]
    cursor: Cursor


class HistoryPoint(Answer):
    """A device's key figures in one span."""

    at: datetime
    uptime_s: float | None
    cpu_percent: float | None
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    disk_total_bytes: int | None
    disk_free_bytes: int | None
    temperature_c: float | None
    clock_skew_s: float | None
    engine: str | None
    applications: Annotated[dict[str, int], Field(description="How many are in each state.")]
    state_changes: Annotated[int | None, Field(description="Since the point before; null in the first.")]


class History(Answer):
    """A device's last day, the oldest point first; a gap is a missing point."""

    device: ThingName
    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    interval_s: float
    points: list[HistoryPoint]


class LatestDeployment(Answer):
    """The newest deployment of a group."""

    deployment: Identifier
    revision: int
    state: DeploymentState


class Group(Answer):
    """A group that can be deployed to."""

    name: GroupName
    devices: int
    latest: LatestDeployment | None


class GroupCreated(Group):
    """A group as it was created."""

    description: str | None


class GroupPage(Answer):
    """Groups as the IoT registry lists them. A page may be short and not the last."""

    groups: list[Group]
    cursor: Cursor


class DevicePlaced(Answer):
    """Where a device belongs, and belonged."""

    device: ThingName
    group: GroupName | None
    before: GroupName | None


class AuditEntry(Answer):
    """One call: who, what, why, what it changed, how it ended; chained to the one before it by its hash."""

    v: Literal[1]
    day: str
    sequence: int
    at: datetime
    request_id: str
    operation: str
    outcome: Outcome
    status: int
    previous: str
    hash: str
    caller: dict[str, Any] = {}
    target: dict[str, str] = {}
    code: str | None = None
    reason: str | None = None
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    source_ip: str | None = None


class AuditPage(Answer):
    """One day's entries, newest first."""

    day: str
    entries: list[AuditEntry]
    cursor: Cursor


class AuditVerdict(Answer):
    """Whether one day's entries are whole and unchanged."""

    day: str
    intact: bool
    entries: int
    head: str
    broken_at: int | None = None
    reason: str | None = None


class TargetOfDeployment(Answer):
    """What is deployed to."""

    group: GroupName


class ApplicationChange(Answer):
    """How an application differs from the revision before."""

    name: ApplicationName
    from_image: str
    to_image: str
    configuration_changed: bool


class Diff(Answer):
    """What a revision changes."""

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


class ApplicationOfRevision(Answer):
    """An application of a revision."""

    name: ApplicationName
    image: str


class DeviceOutcome(Answer):
    """What a deployment became on one device."""

    device: ThingName
    state: OutcomeState
    application: str | None = None
    code: str | None = None
    message: str | None = None
    received_at: datetime | None = None


class Deployment(Answer):
    """A revision, and what it became device by device."""

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


class Repository(Answer):
    """A repository that devices may pull from; ``name`` is the part below the stack's prefix."""

    name: str
    uri: str
    created_at: datetime


class RepositoryPage(Answer):
    """Repositories in order of name; ``truncated``: ECR holds more than were looked at."""

    repositories: list[Repository]
    cursor: Cursor
    truncated: bool


class Scan(Answer):
    """ECR's scan of an image; ``findings`` counts by severity."""

    status: str
    completed_at: datetime | None
    findings: dict[str, int]


class StoredImage(Answer):
    """An image in a repository."""

    digest: str
    tags: list[str]
    size_bytes: Annotated[int | None, Field(description="Compressed, as ECR counts it.")]
    pushed_at: datetime
    media_type: str | None
    scan: Scan | None


class ImagePage(Answer):
    """A repository's images, the newest push first."""

    repository: str
    images: list[StoredImage]
    cursor: Cursor
    truncated: bool


class Health(Answer):
    """The API answers."""

    status: Literal["ok"]
