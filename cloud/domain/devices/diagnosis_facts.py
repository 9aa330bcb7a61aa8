"""Facts and causes: the input of a diagnosis, and its output. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloud.domain.deployments.deployment import Deployment
from cloud.domain.devices.device import Device
from cloud.domain.devices.presence import Seen
from contract.documents import parse_document_uri
from contract.names import Nucleus


@dataclass(frozen=True, slots=True)
class Job:
    """Greengrass's deployment on one device; ``status`` is the IoT Job execution's."""

    status: str
    reason: str | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DiagnosisFacts:
    """The input of a diagnosis. ``job`` is None where Greengrass was not asked, or knows none."""

    device: Device
    seen: Seen
    deployment: Deployment | None  # the newest of the device's group that was not refused
    job: Job | None = None
    job_known: bool = True  # False: Greengrass did not answer
    nucleus: Nucleus | None = None  # of the device's group; None where unknown, or without an answer
    lost_at: datetime | None = (
        None  # with which deployment the agent fell silent (cloud.domain.devices.presence)
    )

    @property
    def arrived(self) -> bool:
        """Whether the device works on the deployment's document."""
        if self.deployment is None or self.device.desired.get("deployment_id") != self.deployment.id:
            return False
        return self.device.desired.get("document_sha256") in (None, self.wanted_sha256)

    @property
    def refused(self) -> Mapping[str, Any] | None:
        """What the device says of the deployment's document, where it will not follow it."""
        refused = self.device.desired.get("refused") or {}
        ours = self.deployment is not None and refused.get("deployment_id") == self.deployment.id
        return refused if ours and not self.arrived else None

    @property
    def referred(self) -> bool:
        """Whether the device has the reference to the document that it should have, and not the document."""
        wanted = self.device.desired.get("wanted_sha256")
        return not self.arrived and wanted is not None and wanted == self.wanted_sha256

    @property
    def led_away(self) -> bool:
        """Whether the device works on the right document, and is referred to another one."""
        wanted = self.device.desired.get("wanted_sha256")
        return self.arrived and wanted not in (None, self.wanted_sha256)

    @property
    def wanted_sha256(self) -> str | None:
        """The hash of the document that the device should have."""
        return None if self.deployment is None else parse_document_uri(self.deployment.document_uri)[2]


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason with its evidence (JSON types and datetimes); ``code`` is stable."""

    code: str
    message: str
    application: str | None = None
    since: datetime | None = None
    next_try_at: str | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)
