"""Device reports: host health, and each application's state with the reason.

A report over 7,000 bytes is split by application into parts that share a sequence number; part 0 names all
applications, so that the cloud knows which ones are gone.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contract.defaults import LAST_LINES, REPORT_MAX_BYTES
from contract.events import ShortText
from contract.names import Code, SaidNucleus
from contract.wire import Lenient, Utc

#: The code of whatever waits for the device's own AWS credentials: token exchange gives none now.
NO_CREDENTIALS = "no-credentials"

Text = Annotated[str, StringConstraints(max_length=512)]
Count = Annotated[int, Field(ge=0)]


class ApplicationState(StrEnum):
    """The state of an application on a device."""

    PENDING = "PENDING"  # planned, nothing done yet
    PULLING = "PULLING"  # its image is on the way, or waits for the next try
    STARTING = "STARTING"  # runs, and has not been healthy yet
    RUNNING = "RUNNING"  # runs and is healthy
    UNHEALTHY = "UNHEALTHY"  # runs, was healthy, and is not now
    STOPPED = "STOPPED"  # exists, does not run
    ROLLED_BACK = "ROLLED_BACK"  # the wanted one failed; the previous one runs again
    FAILED = "FAILED"  # the wanted one failed, and there was no previous one to bring back


class PublishedPort(Lenient):
    """Where a container's port can be reached on the device."""

    container_port: int
    host_port: int
    protocol: str = "tcp"
    address: ShortText | None = None


class Rollback(Lenient):
    """Which image was tried, which one runs again, and why."""

    from_image: Text
    to_image: Text
    code: Code
    reason: Text


class ApplicationStatus(Lenient):
    """One application as it is on the device, beside the reason when it is not as wanted."""

    name: ShortText
    state: ApplicationState
    image: Text | None = None  # the ECR name by digest of what runs (or last ran)
    container_id: ShortText | None = None  # the first 12 hex digits
    ports: list[PublishedPort] = []
    code: Code | None = None
    message: Text | None = None
    next_try_at: Utc | None = None
    pull_percent: Annotated[int, Field(ge=0, le=100)] | None = None  # of a pull under way
    rollback: Rollback | None = None
    #: What the container that failed, or keeps ending, said last, without its environment's values.
    last_lines: Annotated[list[Text], Field(max_length=LAST_LINES)] = []
    cpu_percent: Annotated[float, Field(ge=0)] | None = None  # of one core, since the previous report
    memory_bytes: Count | None = None  # without what is only cached


class HostHealth(Lenient):
    """The machine's health; what cannot be measured is left out."""

    architecture: ShortText  # amd64, arm64, arm as Docker names them
    uptime_s: float
    cpu_percent: float | None = None  # of all cores, since the previous report
    memory_total_bytes: Count | None = None
    memory_available_bytes: Count | None = None
    disk_total_bytes: Count | None = None  # of the engine's data root
    disk_free_bytes: Count | None = None
    temperature_c: float | None = None  # the hottest thermal zone


class RefusedDocument(Lenient):
    """A desired document that the device has read and refuses; the one before stays in force."""

    sha256: ShortText
    deployment_id: ShortText
    revision: Count
    code: Code
    message: Text


class DesiredStatus(Lenient):
    """Which desired document the device has, and how far it got."""

    state: Literal["NOT_MANAGED", "CONVERGING", "CONVERGED", "FAILED"]
    document_sha256: ShortText | None = None  # of the document in force
    wanted_sha256: ShortText | None = None  # of the one that is referred to, where that is another
    target: Annotated[str, StringConstraints(max_length=160)] | None = None
    revision: Count | None = None
    deployment_id: ShortText | None = None
    code: Code | None = None  # desired-unreadable, desired-invalid, engine-unavailable, …
    message: Text | None = None
    since: Utc | None = None  # when ``code`` began to hold, by the device's clock
    refused: RefusedDocument | None = None  # the newest one, until another is referred to


class DeviceReport(Lenient):
    """``dt/fleetgrass/{thing}/report``; a heartbeat is the same message sent again with a new sequence."""

    v: Literal[1] = 1
    epoch: ShortText
    sequence: Count
    part: Count = 0
    parts: Annotated[int, Field(ge=1, le=64)] = 1
    at: Utc
    boot_id: ShortText
    agent_version: ShortText
    level: Annotated[int, Field(ge=0)] = 0  # see contract.defaults.LEVEL
    interval_s: Annotated[float, Field(gt=0, le=86_400)]
    desired: DesiredStatus | None = None  # in part 0
    host: HostHealth | None = None  # in part 0
    nucleus: SaidNucleus = None  # in part 0; None while the device does not know, and of older agents
    engine: ShortText | None = None  # in part 0: the engine's version, or "unavailable"
    malformed_messages: Count = 0  # since the agent's start
    application_names: list[str] | None = None  # in part 0: all of them
    applications: list[ApplicationStatus] = []


def split(report: DeviceReport, max_bytes: int = REPORT_MAX_BYTES) -> Sequence[DeviceReport]:
    """Return ``report`` as parts that are each smaller than ``max_bytes``, in order of part.

    Part 0 carries desired, host, nucleus, engine and all names; applications fill the parts in order. One
    application's status is bounded by its model, so a part always has room for at least one.
    """
    head = report.model_copy(
        update={
            "application_names": [a.name for a in report.applications],
            "applications": [],
            "part": 63,
            "parts": 64,
        }
    )
    tail = head.model_copy(
        update={
            "desired": None,
            "host": None,
            "nucleus": None,
            "engine": None,
            "application_names": None,
            "applications": [],
        }
    )
    bins: list[list[ApplicationStatus]] = [[]]
    room = max_bytes - len(head.to_json())
    for application in report.applications:
        size = len(application.to_json()) + 1
        if size >= room and (bins[-1] or len(bins) == 1):
            bins.append([])
            room = max_bytes - len(tail.to_json())
        bins[-1].append(application)
        room -= size
    return [
        (head if part == 0 else tail).model_copy(
            update={"part": part, "parts": len(bins), "applications": apps}
        )
        for part, apps in enumerate(bins)
    ]
