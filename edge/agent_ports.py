"""Ports of the agent's loop: everything outside it, as the loop sees it."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from contract.commands import CollectLogsCommand
from contract.desired import DesiredDocument
from edge.commands.app_commands import Applications
from edge.configuration.settings import Checks
from edge.containers.model.policy import Policy
from edge.containers.pass_result import Pass
from edge.events import Inbox
from edge.ports.clock import Clock
from edge.ports.health import Health
from edge.ports.link import Link
from edge.ports.machine import Machine
from edge.ports.state import State
from edge.reporting.reporter import Measured


class Containers(Applications, Protocol):
    """Port to the part that owns the engine."""

    def desire(self, document: DesiredDocument | None) -> None:
        """Take what is wanted; None means that nothing may be touched."""

    def permit(self, policy: Policy) -> None:
        """Go by this policy from the next pass on. What runs goes on."""

    def converge(self) -> Pass:
        """Do one round towards it; never waits for a pull."""

    def stop_all(self) -> "Future[None]":
        """Begin to stop the applications for a reboot; done when that is over, within REBOOT_STOP_S.

        Raises nothing that is no bug; nothing is started before the next ``converge``.
        """

    def close(self) -> None:
        """End what runs in the background."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside the loop."""

    link: Link
    inbox: Inbox
    state: State
    machine: Machine
    health: Health
    containers: Containers
    meter: Measured  # adds each application's cpu and memory; never raises
    clock: Clock
    fetch: Callable[[str], None]  # begins to fetch a document; ``Fetched`` follows in the inbox
    #: Begins to look into a document, under a number and a policy; ``Examined`` follows in the inbox.
    inspect: Callable[[int, DesiredDocument, Policy], None]
    collect: Callable[[CollectLogsCommand], None]  # begins a bundle of logs; ``Collected`` follows
    random: Callable[[], float]  # in [0, 1)
    token: Callable[[], str]  # unguessable, 8 to 64 characters
    checks: Checks = field(default_factory=dict)  # of values that only this machine can judge
    #: Whether another process waits for this one's place in the state folder.
    lock_wanted: Callable[[], bool] = lambda: False
