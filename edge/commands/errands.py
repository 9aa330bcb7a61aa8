"""Commands that leave the machine up: what each one asks of the agent's parts, and how it went."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, assert_never

from contract.commands import (
    CommandState,
    ReportNowCommand,
    RestartApplicationCommand,
    RetryApplicationCommand,
)
from edge.containers.requests import Ended, Refusal

Errand = RestartApplicationCommand | RetryApplicationCommand | ReportNowCommand


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an errand ended."""

    state: Literal[CommandState.SUCCEEDED, CommandState.FAILED, CommandState.REJECTED]
    code: str | None = None
    message: str | None = None


DONE = Outcome(CommandState.SUCCEEDED)


class Applications(Protocol):
    """What errands need of the part that owns the engine. The loop's thread calls and is called."""

    def restart(self, application: str, ended: Ended, *, force: bool = False) -> Refusal | None:
        """Begin to stop and start the application's container; a refusal when it cannot begin now.

        ``force`` passes over its update lock.
        """

    def retry(self, application: str) -> Refusal | None:
        """Try again, from the next pass on, what failed or waits; a refusal when there is nothing to try."""


class Errands:
    """Runs errands. ``ended`` gets the command's id and the outcome, at once or later."""

    def __init__(
        self,
        *,
        applications: Applications,
        report: Callable[[], None],
        ended: Callable[[str, Outcome], None],
    ) -> None:
        self._applications = applications
        self._report = report
        self._ended = ended

    def run(self, errand: Errand) -> None:
        """Begin an errand."""
        match errand:
            case RestartApplicationCommand(application=application):
                refusal = self._applications.restart(
                    application,
                    lambda failure: self._ended(errand.id, _outcome(failure, CommandState.FAILED)),
                    force=errand.force,
                )
                if refusal is not None:
                    self._ended(errand.id, _outcome(refusal, CommandState.REJECTED))
            case RetryApplicationCommand(application=application):
                refusal = self._applications.retry(application)
                self._ended(errand.id, _outcome(refusal, CommandState.REJECTED))
            case ReportNowCommand():
                self._report()
                self._ended(errand.id, DONE)
            case _:
                assert_never(errand)


def _outcome(refusal: Refusal | None, state: Literal[CommandState.FAILED, CommandState.REJECTED]) -> Outcome:
    return DONE if refusal is None else Outcome(state, refusal.code, refusal.message)
