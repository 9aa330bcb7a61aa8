"""Models of answers about commands."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from cloud.openapi.models.answers import Answer, Cursor
from contract.commands import Bundle, CommandState
from contract.names import ApplicationName, Identifier, ThingName
from contract.topics import CommandKind


class UploadSize(Answer):
    """The upload of a log bundle that a device was asked for."""

    max_bytes: int


class CommandAccepted(Answer):
    """A command as it was created, with its kind's own parameters; follow its progress at its Location."""

    id: Identifier
    device: ThingName
    kind: CommandKind
    state: CommandState
    issued_at: datetime
    expires_at: Annotated[datetime, Field(description="The latest start.")]
    requested_by: str
    reason: str
    part_of: Annotated[Identifier | None, Field(description="The group reboot that it belongs to.")]
    when_online: bool
    application: ApplicationName | None = None
    force: bool | None = None
    not_before: Annotated[datetime | None, Field(description="The earliest start.")] = None
    override_budget: bool | None = None
    lines: int | None = None
    upload: UploadSize | None = None
    warnings: list[str]


class CommandSummary(CommandAccepted):
    """A command's state. ``inferred``: concluded by the cloud; the device's own result replaces it."""

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
    """Everything known about a command: its history, its result, and the device's proof."""

    transitions: list[Transition]
    message: str | None = None
    boot_id_before: str | None = None
    boot_id: str | None = None
    down_s: float | None = None
    clock: Literal["server", "device"] | None = None
    log_lines: list[str] | None = None
    bundle: BundleOnOffer | None = None
