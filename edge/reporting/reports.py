"""Content of a report, and whether it says anything new. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from contract.defaults import LEVEL
from contract.names import Nucleus
from contract.reports import (
    ApplicationStatus,
    DesiredStatus,
    DeviceReport,
    HostHealth,
    Rollback,
    split,
)
from edge.text import clip, tail

# One application must fit into one part of a report, whatever it went through: 400 bytes of each
# image name (the wire's limit), these, and this many ports.
TEXT_BYTES = 400
PORTS_REPORTED = 40
ENGINE_BYTES = 64  # of the engine's version
APPLICATION_BYTES = 5_500  # what it said last takes what is left of these
QUARTER_PERCENT = 25


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """The content of a report, apart from the host's health."""

    desired: DesiredStatus
    engine: str
    applications: tuple[ApplicationStatus, ...]
    nucleus: Nucleus | None = None

    def news(self) -> str:
        """Return a text that differs exactly when there is something to report at once.

        Of how far a pull has come, each quarter is news; that it began or failed is.
        """
        applications = (
            a
            if a.pull_percent is None
            else a.model_copy(update={"pull_percent": a.pull_percent // QUARTER_PERCENT})
            for a in self.applications
        )
        return "\n".join(
            (
                self.engine,
                self.nucleus or "",
                self.desired.model_dump_json(),
                *(a.model_dump_json() for a in applications),
            )
        )


@dataclass(frozen=True, slots=True)
class Heading:
    """The first fields of every report."""

    epoch: str
    sequence: int
    at: datetime
    boot_id: str
    agent_version: str
    interval_s: float
    malformed_messages: int


def build(facts: ReportFacts, heading: Heading, host: HostHealth | None) -> Sequence[DeviceReport]:
    """Return the report as parts, each within the wire's size."""
    message = facts.desired.message
    return split(
        DeviceReport(
            epoch=heading.epoch,
            sequence=heading.sequence,
            at=heading.at,
            boot_id=heading.boot_id,
            agent_version=heading.agent_version,
            level=LEVEL,
            interval_s=heading.interval_s,
            malformed_messages=heading.malformed_messages,
            desired=facts.desired.model_copy(update={"message": message and clip(message, TEXT_BYTES)}),
            host=host,
            nucleus=facts.nucleus,
            engine=clip(facts.engine, ENGINE_BYTES) or "unknown",
            applications=[_bounded(application) for application in facts.applications],
        )
    )


def _bounded(status: ApplicationStatus) -> ApplicationStatus:
    rollback = status.rollback
    bounded = status.model_copy(
        update={
            "message": status.message and clip(status.message, TEXT_BYTES),
            "ports": status.ports[:PORTS_REPORTED],
            "rollback": rollback
            and Rollback(
                from_image=rollback.from_image,
                to_image=rollback.to_image,
                code=rollback.code,
                reason=clip(rollback.reason, TEXT_BYTES),
            ),
            "last_lines": [],
        }
    )
    room = APPLICATION_BYTES - len(bounded.to_json())
    return bounded.model_copy(update={"last_lines": tail(status.last_lines, room)})
