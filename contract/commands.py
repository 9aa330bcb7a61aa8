"""Commands to a device, and their results.

A command's life, forward only: PENDING → DELIVERED → IN_PROGRESS → one of the final states.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, TypeAdapter, model_validator

from contract import topics
from contract.defaults import LOG_BUNDLE_BYTES, LOG_LINES_MAX
from contract.names import ApplicationName, Code, Identifier
from contract.wire import Lenient, Strict, Utc

UPLOAD_URL_MAX = 3_000  # characters; the rest of a command fits beside it
LogLine = Annotated[str, StringConstraints(max_length=512)]


class CommandState(StrEnum):
    """The state of a command; the same words on the wire, in the table and in the API."""

    PENDING = "PENDING"  # written and published; not answered yet
    DELIVERED = "DELIVERED"  # the device has it and waits (delay, lock, window)
    IN_PROGRESS = "IN_PROGRESS"  # recorded on the device's disk; about to happen
    SUCCEEDED = "SUCCEEDED"  # proven: the boot id changed
    FAILED = "FAILED"  # tried, and not done; the code says why
    REJECTED = "REJECTED"  # refused by the device; the code names the rule
    EXPIRED = "EXPIRED"  # not started before expires_at
    SUPERSEDED = "SUPERSEDED"  # a newer one of its kind took its place before it started

    @property
    def final(self) -> bool:
        """Whether nothing may follow this state."""
        return self not in (CommandState.PENDING, CommandState.DELIVERED, CommandState.IN_PROGRESS)


class Command(Strict):
    """The fields that all commands share: each is carried out once, not later than ``expires_at``."""

    v: Literal[1] = 1
    id: Identifier
    issued_at: Utc
    expires_at: Utc  # the latest start, by the server's time
    requested_by: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)]

    @model_validator(mode="after")
    def _expires_after_issue(self) -> Self:
        if self.expires_at <= self.issued_at:
            raise ValueError("expires_at must be later than issued_at")
        return self


class RebootCommand(Command):
    """``cmd/fleetgrass/{thing}/reboot/req``: reboot."""

    force: bool = False  # reboot even while a container is being replaced or an update lock is held
    not_before: Utc | None = (
        None  # the earliest start, by the server's time; the device says DELIVERED and waits
    )
    override_budget: bool = False  # for administrators: reboot beyond the device's limit per hour

    @model_validator(mode="after")
    def _may_start(self) -> Self:
        if self.not_before is not None and self.not_before >= self.expires_at:
            raise ValueError("not_before must be earlier than expires_at")
        return self


class RestartApplicationCommand(Command):
    """``…/restart-application/req``: stop the application's container, and start it again."""

    command: Literal["restart-application"]
    application: ApplicationName
    force: bool = False  # even while the application holds its update lock


class RetryApplicationCommand(Command):
    """``…/retry-application/req``: retry now, once, what failed or waits for its next try."""

    command: Literal["retry-application"]
    application: ApplicationName


class ReportNowCommand(Command):
    """``…/report-now/req``: report at once, whether anything changed or not."""

    command: Literal["report-now"]


class Upload(Strict):
    """The presigned URL of a log bundle: one HTTP PUT, without headers of its own or credentials."""

    url: Annotated[
        str, StringConstraints(pattern=r"^https?://[!-~]+$", max_length=UPLOAD_URL_MAX)
    ]  # presigned: a secret
    max_bytes: Annotated[int, Field(ge=1)] = LOG_BUNDLE_BYTES


class CollectLogsCommand(Command):
    """``…/collect-logs/req``: send the last output of the application's container.

    With ``upload``, a bundle instead (.tar.gz: the agent's log, what the engine says of itself, the
    containers' logs), uploaded there; without ``application`` it is of every application.
    """

    command: Literal["collect-logs"]
    application: ApplicationName | None = None
    lines: Annotated[int, Field(ge=1, le=LOG_LINES_MAX)] = 100  # of a result; a bundle has what fits
    upload: Upload | None = None

    @model_validator(mode="after")
    def _of_what(self) -> Self:
        if self.application is None and self.upload is None:
            raise ValueError("application must be named where no upload is")
        return self


class RotateSecretsCommand(Command):
    """``…/rotate-secrets/req``: replace the application's container by one with its secrets fetched anew."""

    command: Literal["rotate-secrets"]
    application: ApplicationName


def _name_of(command: object) -> str:
    given = command.get("command") if isinstance(command, Mapping) else getattr(command, "command", None)
    return "reboot" if given is None else str(given)


#: Any command, told apart by its ``command``; the oldest of them, a reboot, has none.
AnyCommand = Annotated[
    Annotated[RebootCommand, Tag("reboot")]
    | Annotated[RestartApplicationCommand, Tag("restart-application")]
    | Annotated[RetryApplicationCommand, Tag("retry-application")]
    | Annotated[ReportNowCommand, Tag("report-now")]
    | Annotated[CollectLogsCommand, Tag("collect-logs")]
    | Annotated[RotateSecretsCommand, Tag("rotate-secrets")],
    Discriminator(_name_of),
]


@cache
def _any() -> TypeAdapter[AnyCommand]:
    """Return what reads any command; it is made when the first one is read, as who sends none needs none."""
    return TypeAdapter(AnyCommand)


def parse_command(payload: bytes) -> AnyCommand:
    """Return the command in ``payload``.

    Raises:
        pydantic.ValidationError: not JSON, not an object, or no command that is known here.
    """
    return _any().validate_json(payload)


def command_of(fields: Mapping[str, object]) -> AnyCommand:
    """Return the command with these ``fields``; a reboot's hold no ``command``.

    Raises:
        pydantic.ValidationError: they are no command.
    """
    return _any().validate_python(fields)


def name_of(command: Command) -> topics.Command:
    """Return the name by which a command's topics go."""
    match command:
        case (
            RestartApplicationCommand()
            | RetryApplicationCommand()
            | ReportNowCommand()
            | CollectLogsCommand()
            | RotateSecretsCommand()
        ):
            return command.command
        case _:
            return "reboot"


class TimeAnswer(Strict):
    """``cmd/fleetgrass/{thing}/time/req``: the server's time, answering the hello with this nonce."""

    v: Literal[1] = 1
    nonce: Annotated[str, StringConstraints(min_length=8, max_length=64)]
    server_time_ms: Annotated[int, Field(gt=0)]


class ResultAck(Strict):
    """``cmd/fleetgrass/{thing}/ack/req``: IoT Core has the result with this id and state.

    An IoT rule republishes it out of the result itself; what the rest of the cloud makes of the result is
    another matter.
    """

    v: Literal[1] = 1
    id: Identifier
    state: CommandState


class Bundle(Lenient):
    """A log bundle that a device uploaded."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    truncated: bool = False  # older lines were left out to stay within its bounds


class CommandResult(Lenient):
    """``cmd/fleetgrass/{thing}/{command}/res``: the state of a command, as the device reports it."""

    v: Literal[1] = 1
    id: Identifier
    state: CommandState
    at: Utc  # the device's clock: data, never the order
    clock: Literal["server", "device"] = "server"  # by which time expiry was judged
    code: Code | None = (
        None  # set with FAILED, REJECTED, EXPIRED and SUPERSEDED; with DELIVERED: what it waits for
    )
    message: Annotated[str, StringConstraints(max_length=512)] | None = None
    boot_id_before: Annotated[str, StringConstraints(max_length=64)] | None = None
    boot_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    #: The last lines that fit, oldest first, without the values of the container's environment.
    log_lines: Annotated[list[LogLine], Field(max_length=LOG_LINES_MAX)] | None = None
    bundle: Bundle | None = None  # of collect-logs with an upload
    down_s: Annotated[float, Field(ge=0)] | None = None  # from IN_PROGRESS to this boot's first hello
