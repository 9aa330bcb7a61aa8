"""The agent's loop: next event, read what is desired, converge, report. Knows ports only, owns all state.

Level-triggered: an event only says that it is time to look. The next turn would find the same out without
it, so a lost event does no harm. Commands are the exception, and they have their ledger.
"""

import logging
import math
from collections.abc import Callable
from typing import assert_never, get_args

from pydantic import ValidationError

from contract import topics
from contract.commands import CommandResult, ResultAck, TimeAnswer, name_of, parse_command
from contract.defaults import COMMAND_MAX_BYTES
from contract.desired import DesiredDocument
from contract.reports import NO_CREDENTIALS, ApplicationState, DesiredStatus
from edge.agent_ports import Ports
from edge.commands.app_commands import AppCommands
from edge.commands.commands import Commands
from edge.configuration.kept_settings import KeptSettings, say
from edge.configuration.settings import CONFIGURATION_INVALID, Reading, read_settings
from edge.containers.pass_result import ENGINE_UNAVAILABLE, Pass
from edge.containers.plan.retry_policy import INTERNAL_ERROR
from edge.desired.desired_document import Desired
from edge.desired.update_deferral import UpdateDeferral
from edge.events import (
    Collected,
    ConfigurationChanged,
    EngineChanged,
    Event,
    Examined,
    Fetched,
    LinkAnswered,
    LinkLost,
    MessageReceived,
    Progressed,
    ShutDown,
    Unreadable,
)
from edge.host.boot import Boot
from edge.link.endings import Endings
from edge.link.keeper import LinkKeeper
from edge.link.patience import LinkGone, Patience
from edge.ports.link import LinkError
from edge.reporting.outbox import RESULT, Outbox, Outgoing
from edge.reporting.reporter import HELLO, Reporter
from edge.reporting.reports import ReportFacts
from edge.reporting.sequence import Sequence
from edge.reporting.server_time import ServerTime

#: A deployment's merge is one event per leaf: wait for the last, but not for ever.
DEBOUNCE_S = 0.2
DEBOUNCE_MAX_S = 1.0
CONFIGURATION_RETRY_S = 5.0
SHORTEST_WAIT_S = 0.02
EVENTS_A_TURN = 200  # a stream of messages without end must not keep the loop from everything else
#: Waits between looks after an event of the engine, whose list may lag behind what it tells; the adapter
#: delays the event of a container's end until the list shows it, as far as it can.
SECOND_LOOKS_S = (0.05, 0.05, 0.1, 0.2, 0.6)
AFTER_FAILURE_S = 1.0  # a part that fails in every turn must not fill the disk with its tracebacks
UNSAFE_FOLDER = "unsafe-folder"
BOOT_ID = "boot_id_path"
#: What cannot be used may be there later, as a drive that is mounted late.
UNUSABLE_RETRY_S = 60.0

log = logging.getLogger(__name__)


class Agent:
    """The device's agent. One thread calls it; ``run`` is that thread's whole life."""

    def __init__(
        self,
        ports: Ports,
        *,
        thing: str,
        reading: Reading,
        connected: bool = True,
        unsafe_folder: str | None = None,
    ) -> None:
        """Without ``connected`` the link is still to be made, and supervision does not wait for it.

        ``unsafe_folder`` says which folder that the agent runs from others may change, if there is one.
        """
        self._ports = ports
        self._unsafe_folder = unsafe_folder
        self._clock = ports.clock
        self._settings = settings = reading.settings
        self._complaint = reading.complaint
        self._kept = KeptSettings(ports.state)
        self._kept.keep(settings)
        self._thing = thing
        self._requests = {topics.command_request(thing, name): name for name in get_args(topics.Command)}
        self._server_time = ServerTime()
        boot = Boot(
            state=ports.state,
            machine=ports.machine,
            source=str(settings.boot_id_path),
            certain=BOOT_ID not in reading.unusable,
        )
        self._outbox = Outbox(
            state=ports.state,
            link=ports.link,
            clock=ports.clock,
            spread=self._spread,
            on_sent=self._was_sent,
            on_refused=lambda: self._reporter.owe_hello(),
        )
        self._reporter = Reporter(
            thing=thing,
            boot_id=lambda: boot.said,
            interval_s=settings.heartbeat_s,
            sequence=Sequence(ports.state, ports.token),
            outbox=self._outbox,
            server_time=self._server_time,
            health=ports.health,
            clock=ports.clock,
            random=ports.random,
            new_nonce=ports.token,
            measured=lambda found: ports.meter(found) if self._settings.report_usage else found,
            nucleus=lambda: self._keeper.nucleus,
        )
        self._commands = Commands(
            state=ports.state,
            machine=ports.machine,
            clock=ports.clock,
            server_time=self._server_time,
            send=self._send_result,
            run=lambda command: self._app_commands.run(command),
            stop_all=ports.containers.stop_all,
            boot=boot,
            budget=settings.reboot_budget,
            grace_s=settings.reboot_grace_s,
        )
        self._app_commands = AppCommands(
            applications=ports.containers,
            collect=ports.collect,
            report=self._reporter.hurry,
            ended=self._commands.ended,
        )
        self._desired = Desired(
            state=ports.state,
            clock=ports.clock,
            fetch=ports.fetch,
            inspect=lambda number, document: ports.inspect(number, document, self._settings.policy),
            spread=self._spread,
        )
        self._desired.refer(settings.document_uri)
        self._updates = UpdateDeferral(ports.clock)
        self._keeper = LinkKeeper(
            link=ports.link,
            clock=ports.clock,
            topics=tuple(self._requests),
            spread=self._spread,
            recheck_after_s=self._updates.recheck_after_s,
            patience=Patience(
                endings=Endings(ports.state, ports.clock),
                lock_wanted=ports.lock_wanted,
                spread=self._spread,
            ),
            connected=connected,
        )
        self._pass: Pass | None = None
        self._passed: DesiredDocument | None = None  # what the last pass went towards
        self._look_at_s = 0.0
        self._second_looks: list[float] = []
        self._failed = False
        self._read_at_s: float | None = None
        self._changed_at_s: float | None = None
        self._malformed = 0
        self._internal_errors = 0

    def run(self) -> int:
        """Live until SIGTERM or until the link is gone; return the process's exit status."""
        self.start()
        first: Event | None = None
        while True:
            status = self.turn(first)
            if status is not None:
                return status
            first = self._ports.inbox.take(self.wait_s())

    def start(self) -> None:
        """Finish what an earlier run or boot left behind. Nothing new is accepted before that."""
        self._guarded("recovery", self._commands.recover)

    def turn(self, first: Event | None = None) -> int | None:
        """Do one round with every event that is there; return an exit status when it was the last."""
        stop = False
        self._failed = False
        handled = 0
        event = first or self._ports.inbox.take()
        while event is not None:
            stop = stop or isinstance(event, ShutDown)
            self._guarded("event", lambda event=event: self._handle(event))  # type: ignore[misc]
            handled += 1
            event = self._ports.inbox.take() if handled < EVENTS_A_TURN else None
        if stop:
            return self._leave()
        try:
            self._guarded("link", self._keep_link)
        except LinkGone as error:
            log.error("the nucleus must start this component anew: code=%s error=%s", error.code, error)
            self._guarded("containers", self._ports.containers.close)
            return 1
        self._guarded("configuration", self._read_configuration)
        self._guarded("desired state", self._desired.tick)
        self._guarded("containers", self._converge)
        self._guarded("commands", lambda: self._commands.tick(critical=self._critical))
        self._guarded("report", self._report)
        self._guarded("outbox", self._outbox.flush)
        return None

    def wait_s(self) -> float:
        """Return how long there is nothing to do unless an event comes."""
        due = (
            self._look_at_s,
            self._reporter.next_due_s(),
            self._read_at_s,
            self._outbox.next_due_s(),
            self._desired.next_due_s(),
            self._commands.next_due_s(),
            self._keeper.next_due_s(),
        )
        shortest_s = AFTER_FAILURE_S if self._failed else SHORTEST_WAIT_S
        return max(min(s for s in due if s is not None) - self._clock.monotonic(), shortest_s)

    def _guarded(self, what: str, call: Callable[[], None]) -> None:
        """The one boundary: a failure in one part is logged and counted, and the others go on."""
        try:
            call()
        except LinkGone:
            raise  # the one failure that only a new process can fix
        except Exception:  # whoever reads the log gets the answer
            self._failed = True
            self._internal_errors += 1
            log.exception("part of the loop failed: part=%s failures=%d", what, self._internal_errors)

    def _handle(self, event: Event) -> None:
        match event:
            case MessageReceived():
                self._receive(event)
            case ConfigurationChanged():
                now_s = self._clock.monotonic()
                self._changed_at_s = self._changed_at_s if self._changed_at_s is not None else now_s
                self._read_at_s = min(now_s + DEBOUNCE_S, self._changed_at_s + DEBOUNCE_MAX_S)
            case Fetched():
                self._desired.fetched(event)
            case Examined():
                self._desired.examined(event)
            case Collected():
                self._app_commands.collected(event)
            case Unreadable(topic=topic):
                self._count_malformed(topic, 0)
            case LinkAnswered():
                self._keeper.answered(event)
            case LinkLost():
                self._keeper.lost(event)
            case Progressed():
                self._look_at_s = 0.0
            case EngineChanged():
                self._look_at_s, self._second_looks = 0.0, list(SECOND_LOOKS_S)
            case ShutDown():
                log.info("asked to stop")
            case _:
                assert_never(event)

    def _receive(self, message: MessageReceived) -> None:
        self._outbox.way_is_open()
        try:
            name = self._requests.get(message.topic)
            if name is None or len(message.payload) > COMMAND_MAX_BYTES:
                self._count_malformed(message.topic, len(message.payload))
            elif name == "time":
                answer = TimeAnswer.from_json(message.payload)
                known = self._server_time.answered(answer, self._clock.monotonic())
                log.info("server time answered: used=%s", known)
            elif name == "ack":
                self._acknowledged(ResultAck.from_json(message.payload))
            elif name_of(command := parse_command(message.payload)) == name:
                self._commands.receive(command, critical=self._critical)
                self._look_at_s = 0.0
            else:
                self._count_malformed(message.topic, len(message.payload))
        except ValidationError:
            self._count_malformed(message.topic, len(message.payload))

    def _acknowledged(self, ack: ResultAck) -> None:
        result = self._outbox.acknowledged(ack)
        if result is not None:
            self._commands.sent(result)

    def _count_malformed(self, topic: str, size: int) -> None:
        self._malformed += 1
        log.warning("malformed message ignored: topic=%s bytes=%d", topic, size)

    @property
    def _critical(self) -> bool:
        return self._pass is not None and self._pass.critical

    def _keep_link(self) -> None:
        if self._keeper.tick():
            self._arrived()

    def _arrived(self) -> None:
        """A connection or a subscription is new: say hello, and see what was missed meanwhile."""
        self._outbox.retry_now()
        self._reporter.hello()
        self._read_at_s = self._clock.monotonic()

    def _read_configuration(self) -> None:
        now_s = self._clock.monotonic()
        if self._read_at_s is None or now_s < self._read_at_s:
            return
        self._read_at_s = self._changed_at_s = None
        try:
            reading = read_settings(self._ports.link, self._kept.settings, self._ports.checks)
        except LinkError as error:
            log.warning("configuration cannot be read: code=%s", error.code)
            self._read_at_s = now_s + CONFIGURATION_RETRY_S
            return
        if reading.unusable.keys() & self._ports.checks.keys():
            self._read_at_s = now_s + UNUSABLE_RETRY_S
        if reading.complaint != self._complaint:
            say(reading)
        settings, self._complaint = reading.settings, reading.complaint
        self._kept.keep(settings)
        self._commands.follow(str(settings.boot_id_path), certain=BOOT_ID not in reading.unusable)
        self._desired.refer(settings.document_uri)
        self._reporter.interval_s = settings.heartbeat_s
        if settings.model_copy(update=_LIVE) != self._settings.model_copy(update=_LIVE):
            log.warning("configuration changed in what takes effect at the next start only")
        before, self._settings = self._settings, settings
        if settings.policy != before.policy:
            self._ports.containers.permit(settings.policy)
            self._desired.policy_changed()
        self._look_at_s = 0.0

    def _converge(self) -> None:
        now_s = self._clock.monotonic()
        self._look_at_s = now_s + self._settings.healthy_poll_s
        document = self._desired.document
        if self._commands.rebooting:
            if self._pass is not None:
                return  # a machine that goes down is no place to begin a replacement
            document = None  # but what runs on it is told truly, also by an agent that started meanwhile
        self._passed = None  # whatever happens now, the last pass says nothing of this document any more
        self._ports.containers.desire(document)
        self._pass = self._ports.containers.converge()
        self._updates.critical = self._pass.critical
        self._passed = document
        self._commands.locked = self._pass.locked
        if self._pass.next_look_s is not None:
            self._look_at_s = now_s + self._pass.next_look_s
        if self._second_looks:
            self._look_at_s = min(self._look_at_s, now_s + self._second_looks.pop(0))

    def _report(self) -> None:
        self._reporter.tick()
        found = self._pass
        if found is None:
            return  # it is not known yet what runs; a report without it would say that nothing does
        self._reporter.report(
            ReportFacts(desired=self._status(found), engine=found.engine, applications=found.statuses),
            malformed_messages=self._malformed + self._ports.inbox.dropped,
        )

    def _status(self, found: Pass) -> DesiredStatus:
        """Return how far the document got; a fault of ours in it must not silence the whole report."""
        told = [
            DesiredStatus(state="FAILED", code=INTERNAL_ERROR, message="the agent's log says what failed")
        ]

        def tell() -> None:
            status = self._desired.status(
                converged=found.converged and self._passed is self._desired.document,
                trouble=_trouble(found),
                remark=_lacking(found) or self._remark(),
            )
            told.append(status)

        self._guarded("desired status", tell)
        return told[-1]

    def _remark(self) -> tuple[str, str] | None:
        """Return a remark for the operator that does not affect the containers."""
        if self._complaint is not None:
            return CONFIGURATION_INVALID, self._complaint
        return None if self._unsafe_folder is None else (UNSAFE_FOLDER, self._unsafe_folder)

    def _leave(self) -> int:
        """Say goodbye, let nothing unsent be lost, and end."""
        self._guarded(
            "goodbye",
            lambda: self._reporter.goodbye("reboot" if self._commands.rebooting else "shutdown"),
        )
        self._outbox.retry_now()
        self._guarded("outbox", self._outbox.flush)
        self._guarded("outbox", self._outbox.close)
        self._guarded("containers", self._ports.containers.close)
        return 0

    def _send_result(self, command: topics.Command, result: CommandResult) -> None:
        """Send a result at once, because the next thing to happen may be a reboot."""
        topic = topics.command_result(self._thing, command)
        expendable = not self._commands.remembers(result.id)  # if it is sent again, it is answered again
        self._outbox.put(Outgoing(f"{RESULT}{result.id}", topic, (result.to_json(),), expendable=expendable))
        self._outbox.flush()

    def _was_sent(self, message: Outgoing) -> None:
        if message.key.startswith(RESULT):
            self._commands.sent(CommandResult.from_json(message.payloads[0]))
        elif message.key == HELLO:
            self._reporter.hello_was_sent()
            self._outbox.hello_went_out()

    def _spread(self, seconds: float) -> float:
        """Return a wait of ± 20 %, so that a fleet does not come back in step."""
        return seconds * (0.8 + 0.4 * self._ports.random())


_LIVE: dict[str, object] = {
    BOOT_ID: None,
    "desired": None,
    "heartbeat_s": math.inf,
    "report_usage": False,
    "healthy_poll_s": math.inf,
    "policy": None,
}


def _lacking(found: Pass) -> tuple[str, str] | None:
    """Return what the device waits for by itself, and is no failure of a container."""
    waiting = (s for s in found.statuses if s.code == NO_CREDENTIALS)
    return next(((NO_CREDENTIALS, f"{s.name}: {s.message}") for s in waiting), None)


def _trouble(found: Pass) -> tuple[str, str] | None:
    """Return what keeps the containers from being as desired until an event or a person changes it."""
    if found.engine == ENGINE_UNAVAILABLE:
        return "engine-unavailable", "the container engine does not answer"
    bad = [
        s.name for s in found.statuses if s.state in (ApplicationState.FAILED, ApplicationState.ROLLED_BACK)
    ]
    if found.settled and bad:
        return "application-failed", ", ".join(bad)
    return None
