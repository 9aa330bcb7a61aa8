"""Command execution: never twice, always answered, whenever the agent is killed.

The order matters: the ledger on disk says IN_PROGRESS before anything is done. For a reboot it holds this
boot's id before a result is sent, the applications are stopped and the machine is asked to reboot. At the
next start another boot id of the same source proves the reboot; the same one, for longer than the grace
period, proves that there was none. All other commands are run by ``AppCommands``: one that the agent's end
cut short is reported as failed.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Literal, assert_never

from contract import topics
from contract.commands import AnyCommand, Bundle, CommandResult, CommandState, RebootCommand, name_of
from edge.commands.app_commands import AppCommand, CommandOutcome
from edge.commands.rebooting import Rebooting
from edge.commands.rules.decide import CommandContext, Defer, Proceed, Refuse, Repeat, Wait, decide
from edge.commands.rules.ledger import Ledger
from edge.defaults import HELD_COMMANDS_S
from edge.host.boot import Boot
from edge.ports.clock import Clock
from edge.ports.machine import Machine
from edge.ports.state import State, StateUnwritable
from edge.reporting.server_time import ServerTime
from edge.storage.state_file import StateFile
from edge.text import clip

FILE = "commands.json"
MESSAGE_BYTES = 400
LOCK_POLL_S = 1.0  # between looks at a lock that a reboot waits for
DELAY_POLL_S = 60.0  # between looks at a date that a reboot waits for: the device's own clock may jump
CUT_SHORT = CommandOutcome(
    CommandState.FAILED, "interrupted", "the agent ended meanwhile; whether it was done is not known"
)

log = logging.getLogger(__name__)


class Commands:
    """The owner of the command ledger. All calls come from the loop's thread.

    ``send`` takes a result that must reach the cloud, and its command's name; the sender calls ``sent``
    once the result is stored elsewhere until it arrives. ``run`` begins an application command, whose end
    comes to ``ended``, at once or later.
    """

    def __init__(
        self,
        *,
        state: State,
        machine: Machine,
        clock: Clock,
        server_time: ServerTime,
        send: Callable[[topics.Command, CommandResult], None],
        run: Callable[[AppCommand], None],
        stop_all: Callable[[], "Future[None]"],
        boot: Boot,
        budget: int,
        grace_s: float,
    ) -> None:
        self._file = StateFile(state, FILE, Ledger.model_validate_json)
        self._clock = clock
        self._server_time = server_time
        self._send = send
        self._run = run
        self._boot = boot
        self._budget = budget
        self._rebooting = Rebooting(machine=machine, clock=clock, stop_all=stop_all, grace_s=grace_s)
        self._held_until_s: dict[str, float] = {}
        self._ledger = self._load()
        #: Whether some application holds its update lock; told by the loop.
        self.locked = False
        self._told: dict[str, str] = {}  # by command: what it was said to wait for

    @property
    def rebooting(self) -> bool:
        """Whether the machine was asked to reboot, and it is not known yet whether it will."""
        return bool(self._ledger.rebooting())

    def remembers(self, command_id: str) -> bool:
        """Whether a command waits, was started or was answered, as far as this device has room to know."""
        return command_id in self._ledger.entries or any(c.id == command_id for c in self._ledger.held)

    def follow(self, source: str, *, certain: bool) -> None:
        """Have boots told apart by what is configured now, unless a reboot is under way."""
        if not self.rebooting:
            self._boot.follow(source, certain=certain)
            self._boot.prepare()

    def recover(self) -> None:
        """Judge what an earlier run left behind, and answer everything that may not be kept elsewhere."""
        if self._ledger.lost:
            self._boot.suspect()
        for command_id, entry in self._ledger.running().items():
            if entry.command != "reboot":
                self.ended(command_id, CUT_SHORT)
                continue
            if entry.result.boot_id_before is not None:
                self._boot.resume(entry.result.boot_id_before)
            self._rebooting.resume()
            self._look_for_proof()
            if self.rebooting:
                log.warning(
                    "a reboot was started and is not proven yet: id=%s boot=%s", command_id, self._boot.id
                )
        if not self.rebooting and not self._ledger.lost:
            self._boot.prepare()
        for command in self._ledger.held:
            self._held_until_s[command.id] = self._clock.monotonic() + HELD_COMMANDS_S
        for entry in self._ledger.unanswered():
            self._send(entry.command, entry.result)

    def receive(self, command: AnyCommand, *, critical: bool) -> None:
        """Judge a command and do what was decided; it is answered whatever happens in here."""
        try:
            self._judge(command, critical=critical)
        except StateUnwritable as error:
            if all(held.id != command.id for held in self._ledger.held):
                self._answer_failure(command, error)
                return
            # The disk says that it waits, and would have another start carry it out: so it waits on.
            log.error("command waits on for the disk: id=%s error=%s", command.id, error)
            self._held_until_s[command.id] = self._clock.monotonic() + LOCK_POLL_S
        except Exception as error:  # rule 8: the command is answered and done, the device stays reachable
            log.exception("command failed inside the agent: id=%s", command.id)
            self._answer_failure(command, error)

    def tick(self, *, critical: bool) -> None:
        """Do what time or the server's answer made due: commands that wait, and a reboot's next step."""
        now_s = self._clock.monotonic()
        for command in self._ledger.held:
            if self._server_time.now(now_s) is not None or now_s >= self._held_until_s.get(command.id, 0.0):
                self.receive(command, critical=critical)
        self._look_for_proof()
        message = self._rebooting.tick()
        if message is not None:
            code = "reboot-not-performed"
            if self._boot.id is None:
                code, message = "boot-id-unreadable", "whether the machine rebooted is not known"
            for command_id in self._ledger.rebooting():
                self._finish(command_id, CommandState.FAILED, code=code, message=message)

    def next_due_s(self) -> float | None:
        """Return when ``tick`` has something to do without any event, on the monotonic clock."""
        due = [self._held_until_s.get(command.id, 0.0) for command in self._ledger.held]
        rebooting_s = self._rebooting.next_due_s()
        return min(due if rebooting_s is None else [*due, rebooting_s], default=None)

    def ended(self, command_id: str, outcome: CommandOutcome) -> None:
        """Take the outcome of an application command."""
        self._finish(
            command_id,
            outcome.state,
            code=outcome.code,
            message=outcome.message,
            log_lines=outcome.log_lines,
            bundle=outcome.bundle,
        )

    def sent(self, result: CommandResult) -> None:
        """Remember that exactly this was handed over, and that others keep it until it arrives."""
        self._keep_if_possible(self._ledger.answered(result))

    def _judge(self, command: AnyCommand, *, critical: bool) -> None:
        now, clock = self._time_for(command)
        if now is not None:
            ledger = self._ledger.told_the_time(now) if clock == "server" else self._ledger.trusting_from(now)
            self._keep(ledger)
        ahead = self._server_time.ahead if clock == "server" else timedelta()
        certain = self._boot.certain and self._boot.id is not None
        situation = CommandContext(now, clock, critical, self._budget, self.locked, certain, ahead)
        decision = decide(command, self._ledger, situation)
        if not isinstance(decision, Wait) or self._told.get(command.id) != decision.code:
            log.info("command judged: id=%s decision=%s clock=%s", command.id, type(decision).__name__, clock)
        match decision:
            case Repeat(result=result):
                self._send(name_of(command), result)
            case Defer():
                if command.id not in self._held_until_s:
                    self._keep(self._ledger.holding(command))
                    self._held_until_s[command.id] = self._clock.monotonic() + HELD_COMMANDS_S
            case Wait():
                self._wait(command, decision, clock)
            case Refuse(state=state, code=code, message=message, remembered=remembered):
                result = self._result(command.id, state, clock, code=code, message=message)
                if state is CommandState.EXPIRED:  # the next start of the agent finds the same again
                    self._keep_if_possible(self._ledger.judged(command, result))
                elif remembered:
                    self._keep(self._ledger.judged(command, result))
                self._send(name_of(command), result)
            case Proceed(at=at):
                if isinstance(command, RebootCommand):
                    self._reboot(command, at, clock)
                else:
                    result = self._result(command.id, CommandState.IN_PROGRESS, clock)
                    self._keep(self._ledger.judged(command, result))
                    self._send(command.command, result)
                    self._run(command)
            case _:
                assert_never(decision)

    def _look_for_proof(self) -> None:
        """Conclude a reboot of an earlier process, once the source of the id of before tells another boot."""
        for command_id, entry in self._ledger.rebooting().items():
            now, before = self._boot.id, entry.result.boot_id_before
            if now is None or now == before:
                continue
            self._rebooting.over()
            down_s = (self._clock.now() - entry.result.at).total_seconds()
            self._finish(
                command_id,
                CommandState.SUCCEEDED,
                boot_id=now,
                down_s=round(down_s, 3) if down_s >= 0 else None,  # the device's clock may have been set back
            )

    def _wait(self, command: AnyCommand, wait: Wait, clock: Literal["server", "device"]) -> None:
        """Keep a command that waits, and say what for, once; after a restart once more."""
        if all(held.id != command.id for held in self._ledger.held):
            self._keep(self._ledger.holding(command))
        if self._told.get(command.id) != wait.code:
            self._told[command.id] = wait.code
            result = self._result(
                command.id, CommandState.DELIVERED, clock, code=wait.code, message=wait.message
            )
            self._send(name_of(command), result)
        now_s, wait_s = self._clock.monotonic(), LOCK_POLL_S
        if wait.due_at is not None:
            now = self._server_time.now(now_s) or self._clock.now()
            wait_s = min((wait.due_at - now).total_seconds(), DELAY_POLL_S)
        self._held_until_s[command.id] = now_s + wait_s

    def _time_for(self, command: AnyCommand) -> tuple[datetime | None, Literal["server", "device"]]:
        """Return the time to judge ``command`` by, and whose it is; None while it is worth waiting."""
        now_s = self._clock.monotonic()
        now = self._server_time.now(now_s)
        if now is not None:
            return now, "server"
        patience_until_s = self._held_until_s.get(command.id)
        if patience_until_s is not None and now_s >= patience_until_s:
            return self._clock.now(), "device"
        return None, "server"

    def _reboot(self, command: RebootCommand, at: datetime, clock: Literal["server", "device"]) -> None:
        result = self._result(command.id, CommandState.IN_PROGRESS, clock, boot_id_before=self._boot.begin())
        self._keep(self._ledger.judged(command, result).started(at))
        self._send("reboot", result)
        log.info("rebooting by command: id=%s by=%s", command.id, command.requested_by)
        self._rebooting.begin()

    def _finish(
        self,
        command_id: str,
        state: CommandState,
        *,
        code: str | None = None,
        message: str | None = None,
        boot_id: str | None = None,
        down_s: float | None = None,
        log_lines: Sequence[str] | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        """Record and send the outcome of a command that was started."""
        entry = self._ledger.entries[command_id]
        result = self._result(
            command_id,
            state,
            entry.result.clock,
            code=code,
            message=message,
            boot_id_before=entry.result.boot_id_before,
            boot_id=boot_id,
            down_s=down_s,
            log_lines=log_lines,
            bundle=bundle,
        )
        # Without a disk the next start finds the same out again.
        self._keep_if_possible(self._ledger.finished(result))
        log.info("command finished: id=%s state=%s code=%s", command_id, state, code)
        self._send(entry.command, result)

    def _answer_failure(self, command: AnyCommand, error: Exception) -> None:
        code = StateUnwritable.code if isinstance(error, StateUnwritable) else "internal-error"
        result = self._result(
            command.id, CommandState.FAILED, "device", code=code, message=type(error).__name__
        )
        self._keep_if_possible(self._ledger.judged(command, result))
        self._send(name_of(command), result)

    def _result(
        self,
        command_id: str,
        state: CommandState,
        clock: Literal["server", "device"],
        message: str | None = None,
        **rest: str | float | Sequence[str] | Bundle | None,
    ) -> CommandResult:
        """Return a result with a text of any length."""
        rest["message"] = message and clip(message, MESSAGE_BYTES)
        return CommandResult.model_validate(
            {"id": command_id, "state": state, "clock": clock, "at": self._clock.now(), **rest}
        )

    def _keep(self, ledger: Ledger) -> None:
        """Make ``ledger`` the truth: on disk first, so that nothing is done that the disk does not know.

        Raises:
            StateUnwritable: nothing changed.
        """
        if ledger is not self._ledger:
            self._file.write(ledger.model_dump_json(exclude_none=True).encode())
            self._remember(ledger)

    def _keep_if_possible(self, ledger: Ledger) -> None:
        """Make ``ledger`` the truth in memory at least, for what is harmless to find out again."""
        try:
            self._keep(ledger)
        except StateUnwritable as error:
            log.error("command ledger is not on disk: error=%s", error)
            self._remember(ledger)

    def _remember(self, ledger: Ledger) -> None:
        self._ledger = ledger
        waiting = {command.id for command in ledger.held}
        self._held_until_s = {k: v for k, v in self._held_until_s.items() if k in waiting}
        self._told = {k: v for k, v in self._told.items() if k in waiting}

    def _load(self) -> Ledger:
        found = self._file.read()
        if not self._file.was_broken:
            return found or Ledger()
        ledger = Ledger(lost=True)
        try:
            self._file.write(ledger.model_dump_json(exclude_none=True).encode())
        except StateUnwritable as error:  # a device with a full disk must come online to say so
            log.error("command ledger is not on disk: error=%s", error)
        return ledger
