"""Commands other than reboot: what each asks of the agent's parts, and its outcome."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, assert_never

from contract.commands import (
    Bundle,
    CollectLogsCommand,
    CommandState,
    ReportNowCommand,
    RestartApplicationCommand,
    RetryApplicationCommand,
    RotateSecretsCommand,
)
from edge.containers.execute.operator_actions import ActionRefusal, OnLines, OnRestarted
from edge.defaults import LOG_BYTES
from edge.events import Collected
from edge.text import tail

AppCommand = (
    RestartApplicationCommand
    | RetryApplicationCommand
    | ReportNowCommand
    | CollectLogsCommand
    | RotateSecretsCommand
)


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """How an application command ended."""

    state: Literal[CommandState.SUCCEEDED, CommandState.FAILED, CommandState.REJECTED]
    code: str | None = None
    message: str | None = None
    log_lines: Sequence[str] | None = None
    bundle: Bundle | None = None


DONE = CommandOutcome(CommandState.SUCCEEDED)


class Applications(Protocol):
    """Port to the part that owns the engine. The loop's thread calls and is called."""

    def restart(
        self, application: str, on_restarted: OnRestarted, *, force: bool = False
    ) -> ActionRefusal | None:
        """Begin to stop and start the application's container; a refusal when it cannot begin now.

        ``force`` passes over its update lock.
        """

    def retry(self, application: str) -> ActionRefusal | None:
        """Try again, from the next pass on, what failed or waits; a refusal when there is nothing to try."""

    def logs(self, application: str, lines: int, on_lines: OnLines) -> ActionRefusal | None:
        """Begin to read the end of what the application said; a refusal when it has no container."""

    def rotate_secrets(self, application: str, rotation: str) -> ActionRefusal | None:
        """Replace the container, in the passes to come, by one with new secrets; a refusal when it has none.

        The same ``rotation`` again changes nothing.
        """


class AppCommands:
    """Runs application commands. ``ended`` gets the command's id and the outcome, at once or later.

    A log bundle is different: ``collect`` begins one, and ``collected`` has to be called with its end.
    """

    def __init__(
        self,
        *,
        applications: Applications,
        collect: Callable[[CollectLogsCommand], None],
        report: Callable[[], None],
        ended: Callable[[str, CommandOutcome], None],
    ) -> None:
        self._applications = applications
        self._collect = collect
        self._report = report
        self._ended = ended

    def run(self, command: AppCommand) -> None:
        """Begin to carry out a command."""
        match command:
            case RestartApplicationCommand(application=application):
                refusal = self._applications.restart(
                    application,
                    lambda failure: self._ended(command.id, _outcome(failure, CommandState.FAILED)),
                    force=command.force,
                )
                if refusal is not None:
                    self._ended(command.id, _outcome(refusal, CommandState.REJECTED))
            case RetryApplicationCommand(application=application):
                refusal = self._applications.retry(application)
                self._ended(command.id, _outcome(refusal, CommandState.REJECTED))
            case ReportNowCommand():
                self._report()
                self._ended(command.id, DONE)
            case CollectLogsCommand(application=str() as application, lines=lines, upload=None):
                refusal = self._applications.logs(
                    application, lines, lambda found: self._ended(command.id, _logs(found))
                )
                if refusal is not None:
                    self._ended(command.id, _outcome(refusal, CommandState.REJECTED))
            case CollectLogsCommand():
                self._collect(command)
            case RotateSecretsCommand(application=application):
                refusal = self._applications.rotate_secrets(application, command.id)
                self._ended(command.id, _outcome(refusal, CommandState.REJECTED))
            case _:
                assert_never(command)

    def collected(self, found: Collected) -> None:
        """Take the end of a bundle of logs."""
        if found.bundle is None:
            self._ended(found.command_id, CommandOutcome(CommandState.FAILED, found.code, found.message))
        else:
            self._ended(found.command_id, CommandOutcome(CommandState.SUCCEEDED, bundle=found.bundle))


def _outcome(
    refusal: ActionRefusal | None, state: Literal[CommandState.FAILED, CommandState.REJECTED]
) -> CommandOutcome:
    return DONE if refusal is None else CommandOutcome(state, refusal.code, refusal.message)


def _logs(found: Sequence[str] | ActionRefusal) -> CommandOutcome:
    if isinstance(found, ActionRefusal):
        return _outcome(found, CommandState.FAILED)
    return CommandOutcome(CommandState.SUCCEEDED, log_lines=tail(found, LOG_BYTES))
