"""Models of answers about devices."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from cloud.domain.devices.presence import State
from cloud.openapi.models.answers import Answer, Cursor
from contract.names import GroupName, Identifier, Nucleus, ThingName
from contract.reports import ApplicationStatus, DesiredStatus, HostHealth


class DeviceSummary(Answer):
    """A device in a list."""

    name: ThingName
    group: GroupName | None
    state: State
    reason: str
    since: datetime | None
    flap_count: Annotated[int, Field(description="Disconnects within the last hour; 20 means 20 or more.")]
    disconnect_reason: str | None
    clock_skew_s: Annotated[float | None, Field(description="The device's time minus the server's.")]
    last_report_at: datetime | None
    agent_version: str | None
    level: Annotated[int, Field(ge=0, description="What its agent can; 0: as the first release.")]
    nucleus: Annotated[Nucleus | None, Field(description="As its agent says; null: it has not said it.")]
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
    """The revision that the device itself reports."""

    target: str | None
    revision: int | None
    deployment_id: str | None
    state: str | None


class Explanation(Cause):
    """The first cause, and all causes in the order of delivery, from the deployment to the container."""

    device: ThingName
    as_desired: bool
    desired: DesiredRevision | None
    on_device: RevisionOnDevice
    causes: list[Cause]
    asked_at: datetime


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
