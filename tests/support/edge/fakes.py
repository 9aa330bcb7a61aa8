"""A device without a device: every port of the agent in memory, driven by hand, and killed at any point."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, get_args

from contract import topics
from contract.commands import (
    CollectLogsCommand,
    Command,
    CommandResult,
    CommandState,
    RebootCommand,
    ResultAck,
    TimeAnswer,
    name_of,
)
from contract.desired import Application, DesiredDocument
from contract.events import ConnectionEvent
from contract.names import identifier
from contract.reports import ApplicationState, ApplicationStatus, DeviceReport, HostHealth
from edge.agent import Agent
from edge.agent_ports import Ports
from edge.configuration.kept_settings import KeptSettings
from edge.configuration.settings import DEFAULTS, Checks, Reading, parse_settings
from edge.containers.execute.operator_actions import ActionRefusal, OnLines, OnRestarted
from edge.containers.model.policy import Policy
from edge.containers.pass_result import Pass
from edge.events import (
    ConfigurationChanged,
    Event,
    Examined,
    Fetched,
    Inbox,
    LinkAnswered,
    LinkLost,
    MessageReceived,
    ShutDown,
)
from edge.ports.health import Health
from edge.ports.link import LinkDown, Missing, NotSupported, PublishFailed, QoS, TokenRefused, Unauthorized
from edge.ports.machine import MachineError
from edge.ports.state import StateUnwritable
from edge.preflight.verdict import FINE, Verdict

THING = "robot-7"
Asked = TypeVar("Asked", bound=Command)
START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Killed(BaseException):
    """SIGKILL: no handler of the agent sees it."""


@dataclass
class Fate:
    """Counts every effect that leaves the process; kills right after the chosen one has happened."""

    kill_after: int | None = None
    effects: list[str] = field(default_factory=list)

    def happened(self, effect: str) -> None:
        self.effects.append(effect)
        if self.kill_after is not None and len(self.effects) == self.kill_after:
            raise Killed(effect)


class FakeClock:
    def __init__(self) -> None:
        self.elapsed_s = 1_000.0
        self.date = START

    def monotonic(self) -> float:
        return self.elapsed_s

    def now(self) -> datetime:
        return self.date

    def advance(self, seconds: float) -> None:
        self.elapsed_s += seconds
        self.date += timedelta(seconds=seconds)


class FakeState:
    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.files: dict[str, bytes] = {}
        self.aside: dict[str, bytes] = {}
        self.writes = 0
        self.full = False

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def write(self, name: str, content: bytes) -> None:
        if self.full:
            raise StateUnwritable(name)
        self.writes += 1
        self.files[name] = content
        self.fate.happened(f"write {name}")

    def set_aside(self, name: str, reason: str) -> None:
        self.aside[name] = self.files[name]


class FakeLink:
    """A nucleus: Lite at first; ``boots_offline`` makes it a classic one that never had a connection."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.deliver: Callable[[Event], None] = lambda _: None
        self.published: list[tuple[str, bytes]] = []  # what reached the broker
        self.qos: list[QoS] = []  # of each of them
        self.subscriptions: Counter[str] = Counter()  # live ones
        self.asked: Counter[str] = Counter()  # subscriptions that were begun, ever
        self.unanswered: list[tuple[str, int]] = []
        self.values: dict[str, Any] = {}
        self.broker_up = True
        self.refuses_qos_0 = False  # as a classic nucleus whose broker is away
        self.spools = False  # QoS 1, as long as QoS 0 is refused
        self.spool: list[tuple[str, bytes]] = []
        self.answers = True
        self.nucleus_up = True
        self.token_is_good = True
        self.not_allowed: set[str] = set()  # topics
        self.connects = 0
        self.connection = 0  # by the number that it was made under
        self.closes_at_once = False  # what is connected, so that the news is faster than the answer
        self.consults = True  # as the classic nucleus does
        self.says = ""  # with the refusal, where it does not
        self.silent_about_updates = False
        self.recheck_after_s: Callable[[str], float] | None = None

    @property
    def subscribed(self) -> set[str]:
        return {what for what, count in self.subscriptions.items() if count}

    # What happens to it

    def boots_offline(self) -> None:
        """Be a classic nucleus before its first connection to the broker."""
        self.answers, self.refuses_qos_0, self.spools = False, True, True

    def goes_offline(self) -> None:
        """Be a classic nucleus that lost its connection to the broker."""
        self.refuses_qos_0, self.spools = True, True

    def comes_online(self) -> None:
        """Connect to the broker: what was begun is answered, and what was spooled goes out."""
        self.answers, self.refuses_qos_0 = True, False
        self.published += self.spool
        self.qos += [1] * len(self.spool)
        self.spool.clear()
        for what, number in self.unanswered:
            self.subscriptions[what] += 1
            self.deliver(LinkAnswered(number))
        self.unanswered.clear()

    def dies(self) -> None:
        """Die, with what is in its memory."""
        self.spool.clear()
        self.forget()
        self.nucleus_up = False
        self.lost("nucleus died")

    def lost(self, reason: str) -> None:
        """Close the connection that there is."""
        self.deliver(LinkLost(reason, self.connection))

    def arrive(self, topic: str, payload: bytes) -> None:
        """Deliver a message of the broker's, once for each subscription."""
        for _ in range(self.subscriptions[topic]):
            self.deliver(MessageReceived(topic, payload))

    def forget(self) -> None:
        """Drop the subscriptions, as with a connection of the component that closes."""
        self.subscriptions.clear()
        self.unanswered.clear()

    # The port

    def connect(self) -> None:
        self.connects += 1
        if not self.nucleus_up:
            raise LinkDown("nobody there")
        if not self.token_is_good:
            raise TokenRefused("closed at once")

    def reconnect(self, number: int) -> None:
        self.connects += 1
        if not self.nucleus_up:
            self.deliver(LinkAnswered(number, LinkDown("nobody there")))
        elif not self.token_is_good:
            self.deliver(LinkAnswered(number, TokenRefused("closed at once")))
        else:
            self.forget()
            self.connection = number
            if self.closes_at_once:
                self.lost("closed at once")
            self.deliver(LinkAnswered(number))

    def subscribe(self, topic: str, number: int) -> None:
        self._begin(topic, number, answers=self.answers)

    def watch_configuration(self, number: int) -> None:
        self._begin("configuration", number)

    def watch_updates(self, number: int, recheck_after_s: Callable[[str], float]) -> None:
        self._require()
        if not self.consults:
            self.deliver(LinkAnswered(number, NotSupported("updates", said=self.says)))
            return
        self.recheck_after_s = recheck_after_s
        self._begin("updates", number, answers=not self.silent_about_updates)

    def configuration(self, *key_path: str) -> Mapping[str, object]:
        self._require()
        if key_path and key_path[0] not in self.values:
            raise Missing(key_path[0])
        return self.values[key_path[0]] if key_path else self.values

    def publish(self, topic: str, payload: bytes, qos: QoS) -> None:
        self._require()
        if topic in self.not_allowed:
            raise Unauthorized(topic)
        if not self.broker_up or (self.refuses_qos_0 and qos == 0):
            raise PublishFailed(topic)
        if self.spools and self.refuses_qos_0:
            self.spool.append((topic, payload))
        else:
            self.published.append((topic, payload))
            self.qos.append(qos)
        self.fate.happened(f"publish {topic}")

    def close(self) -> None:
        self.forget()

    def _begin(self, what: str, number: int, *, answers: bool = True) -> None:
        self._require()
        self.asked[what] += 1
        if answers:
            self.subscriptions[what] += 1
            self.deliver(LinkAnswered(number))
        else:
            self.unanswered.append((what, number))

    def _require(self) -> None:
        if not self.nucleus_up:
            raise LinkDown("not connected")


class FakeMachine:
    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.boot = 1
        self.reboots = 0
        self.error: str | None = None
        self.unreadable: set[str] = set()  # sources of boot ids

    def boot_id(self, source: str) -> str:
        """Each source has ids of its own; those of the default are boot-1, boot-2, …"""
        if source in self.unreadable:
            raise MachineError(f"boot_id_path: {source}: gone")
        return f"boot-{self.boot}" if source == str(DEFAULTS.boot_id_path) else f"{source}#{self.boot}"

    def check(self, source: object) -> str | None:
        """Say why a source cannot be used."""
        return f"{source}: gone" if str(source) in self.unreadable else None

    def reboot(self) -> None:
        self.reboots += 1
        self.fate.happened("reboot")
        if self.error is not None:
            raise MachineError(self.error)


class FakeHealth:
    def measure(self) -> HostHealth:
        return HostHealth(architecture="amd64", uptime_s=1.0)


def a_pass(
    *statuses: ApplicationStatus,
    settled: bool = True,
    converged: bool | None = None,
    critical: bool = False,
    engine: str = "20.10",
    locked: bool = False,
) -> Pass:
    return Pass(
        statuses=statuses,
        settled=settled,
        converged=settled if converged is None else converged,
        critical=critical,
        engine=engine,
        next_look_s=5.0,
        locked=locked,
    )


def running(name: str, image: str = "image") -> ApplicationStatus:
    return ApplicationStatus(name=name, state=ApplicationState.RUNNING, image=image)


class FakeContainers:
    """Becomes what is desired at once, unless told what the next passes find."""

    def __init__(self) -> None:
        self.desired: list[DesiredDocument | None] = []
        self.policies: list[Policy] = []
        self.found: Pass | Exception | None = None
        self.passes = 0
        self.closed = False
        self.restarts: dict[str, OnRestarted] = {}
        self.retried: list[str] = []
        self.rotated: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.refusal: ActionRefusal | None = None
        self.stops: list[Future[None]] = []
        self.stop_at_once = True

    def desire(self, document: DesiredDocument | None) -> None:
        if not self.desired or self.desired[-1] != document:
            self.desired.append(document)

    def permit(self, policy: Policy) -> None:
        self.policies.append(policy)

    def converge(self) -> Pass:
        self.passes += 1
        if isinstance(self.found, Exception):
            raise self.found
        if self.found is not None:
            return self.found
        document = self.desired[-1]
        return a_pass(*(running(a.name, a.image) for a in (document.applications if document else [])))

    def restart(
        self, application: str, on_restarted: OnRestarted, *, force: bool = False
    ) -> ActionRefusal | None:
        if self.refusal is None:
            self.restarts[application] = on_restarted
        return self.refusal

    def logs(self, application: str, lines: int, on_lines: OnLines) -> ActionRefusal | None:
        if self.refusal is None:
            on_lines(self.said[-lines:])
        return self.refusal

    def retry(self, application: str) -> ActionRefusal | None:
        if self.refusal is None:
            self.retried.append(application)
        return self.refusal

    def rotate_secrets(self, application: str, rotation: str) -> ActionRefusal | None:
        if self.refusal is None:
            self.rotated.append((application, rotation))
        return self.refusal

    def stop_all(self) -> "Future[None]":
        stop: Future[None] = Future()
        self.stops.append(stop)
        if self.stop_at_once:
            stop.set_result(None)
        return stop

    def close(self) -> None:
        self.closed = True


class AgentHarness:
    """The cloud, the nucleus and the machine around the agent; what survives a kill survives here."""

    def __init__(self, **configuration: object) -> None:
        self.fate = Fate()
        self.clock = FakeClock()
        self.state = FakeState(self.fate)
        self.link = FakeLink(self.fate)
        self.link.values.update(configuration)
        self.machine = FakeMachine(self.fate)
        self.health: Health = FakeHealth()
        self.containers = FakeContainers()
        self.documents: dict[str, bytes] = {}
        self.fetches: list[str] = []
        self.failure = ("access-denied", "GetObject")  # of a document that is not there
        self.collections: list[CollectLogsCommand] = []
        self.checks: Checks = {}
        self.looked_into: list[tuple[DesiredDocument, Policy]] = []
        self.verdict: Verdict | None = FINE
        self.verdicts_come = True
        self.answers_time = True
        self.unsafe_folder: str | None = None
        self.lock_wanted = False  # whether a second agent waits for this one's end
        self.acknowledges = True  # as clouds do from contract level 1 on
        self._taken = 0  # of what was published, by the cloud
        self.server_ahead = timedelta()
        self._tokens = (f"token-{n:04d}" for n in itertools.count())
        self._ids = itertools.count()
        self.inbox = Inbox()
        self.agent: Agent | None = None

    # The process

    def start(self, *, connected: bool = True) -> Agent:
        """Start the agent as a new process, and let it have its first turn and the cloud's answers.

        Without ``connected`` it goes by what is on its disk, and has no link yet.
        """
        kept = KeptSettings(self.state).settings
        self.inbox = Inbox()
        self.link.deliver = self.inbox.put
        self.link.forget()
        self.link.connection = 0
        self.agent = Agent(
            Ports(
                link=self.link,
                inbox=self.inbox,
                state=self.state,
                machine=self.machine,
                health=self.health,
                containers=self.containers,
                meter=lambda found: tuple(
                    each.model_copy(update={"memory_bytes": 1 << 20, "cpu_percent": 12.5}) for each in found
                ),
                clock=self.clock,
                fetch=self._fetch,
                inspect=self._look_into,
                collect=self.collections.append,
                random=lambda: 0.5,
                token=lambda: next(self._tokens),
                checks=self.checks,
                lock_wanted=lambda: self.lock_wanted,
            ),
            thing=THING,
            reading=parse_settings(self.link.values, kept, self.checks) if connected else Reading(kept, {}),
            connected=connected,
            unsafe_folder=self.unsafe_folder,
        )
        self.agent.start()
        self.turns()
        return self.agent

    def turns(self, seconds: float = 0.0) -> int | None:
        """Advance the clock in the agent's own steps, with a turn at each; return its exit status, if any."""
        assert self.agent is not None
        status = self._turn()
        while status is None and seconds > 0:
            step = min(self.agent.wait_s(), seconds)
            self.clock.advance(step)
            seconds -= step
            status = self._turn()
        return status

    def deliver(self, event: Event) -> int | None:
        """Put an event into the inbox and let the agent take it."""
        self.inbox.put(event)
        return self.turns()

    def stop(self) -> int | None:
        return self.deliver(ShutDown())

    def power_cycle(self, off_s: float = 8.0) -> None:
        """Let the machine really go down and come back with the agent."""
        self.machine.boot += 1
        self.clock.date += timedelta(seconds=off_s)
        self.clock.elapsed_s = 20.0
        self.start()

    def _turn(self) -> int | None:
        """Do turns until nothing that they caused is left in the inbox, as the loop's own wait would."""
        assert self.agent is not None
        event = None
        while True:
            status = self.agent.turn(event)
            self._answer()
            event = self.inbox.take()
            if status is not None or event is None:
                return status

    def _answer(self) -> None:
        """Have the cloud answer each hello with the time, and each result with its acknowledgement."""
        new, self._taken = self.link.published[self._taken :], len(self.link.published)
        time, ack = (topics.command_request(THING, name) for name in ("time", "ack"))
        for topic, payload in new:
            if topic == topics.connection(THING) and self.answers_time and time in self.link.subscribed:
                event = ConnectionEvent.from_json(payload)
                if event.nonce is not None:
                    self.answer_time(event.nonce)
            elif topic.endswith("/res") and self.acknowledges and ack in self.link.subscribed:
                result = CommandResult.from_json(payload)
                told = ResultAck(id=result.id, state=result.state)
                self.inbox.put(MessageReceived(ack, told.to_json()))

    # The cloud

    @property
    def server_now(self) -> datetime:
        return self.clock.now() + self.server_ahead

    def answer_time(self, nonce: str) -> None:
        answer = TimeAnswer(nonce=nonce, server_time_ms=int(self.server_now.timestamp() * 1000))
        self.inbox.put(MessageReceived(topics.command_request(THING, "time"), answer.to_json()))

    def a_command(
        self,
        *,
        issued_ago_s: float = 1.0,
        valid_s: float = 900.0,
        force: bool = False,
        delay_s: float | None = None,
        override_budget: bool = False,
    ) -> RebootCommand:
        """Return a reboot; ``delay_s`` from now on is its earliest start."""
        issued_at = self.server_now - timedelta(seconds=issued_ago_s)
        return RebootCommand(
            id=identifier("cmd", unix_ms=1_700_000_000_000, random80=next(self._ids)),
            issued_at=issued_at,
            expires_at=issued_at + timedelta(seconds=valid_s),
            requested_by="operator@example.com",
            reason="because",
            force=force,
            not_before=None if delay_s is None else self.server_now + timedelta(seconds=delay_s),
            override_budget=override_budget,
        )

    def send(self, command: Command) -> None:
        self.deliver(MessageReceived(topics.command_request(THING, name_of(command)), command.to_json()))

    def an_errand(self, kind: type[Asked], **fields: Any) -> Asked:
        """Return a command of another kind than a reboot, its ``command`` filled in."""
        name = get_args(kind.model_fields["command"].annotation)[0]
        common = self.a_command().model_dump(include=set(Command.model_fields))
        return kind.model_validate({**common, "command": name, **fields})

    def configure(self, **values: object) -> None:
        self.link.values.update(values)
        self.inbox.put(ConfigurationChanged())
        self.turns(1.0)

    def publish_document(self, *names: str, revision: int = 1) -> str:
        """Put a desired document into the bucket and return its URI."""
        document = DesiredDocument(
            target="thinggroup/line-3",
            revision=revision,
            deployment_id=identifier("dep", unix_ms=revision, random80=revision),
            applications=[Application(name=name, image=an_image(name)) for name in names],
        ).canonical()
        uri = f"s3://bucket/desired/{hashlib.sha256(document).hexdigest()}.json"
        self.documents[uri] = document
        return uri

    def _fetch(self, uri: str) -> None:
        self.fetches.append(uri)
        found = self.documents.get(uri)
        self.inbox.put(Fetched(uri, found, *(self.failure if found is None else ())))

    def _look_into(self, number: int, document: DesiredDocument, policy: Policy) -> None:
        self.looked_into.append((document, policy))
        if self.verdicts_come:
            self.inbox.put(Examined(number, self.verdict))

    # What the cloud heard

    def results(self, command: Command | None = None) -> list[CommandResult]:
        found = [CommandResult.from_json(p) for t, p in self.link.published if t.endswith("/res")]
        return [r for r in found if command is None or r.id == command.id]

    def states(self, command: Command) -> list[CommandState]:
        return [r.state for r in self.results(command)]

    def reports(self) -> list[DeviceReport]:
        return [DeviceReport.from_json(p) for t, p in self.link.published if t == topics.report(THING)]

    def events(self) -> list[ConnectionEvent]:
        return [ConnectionEvent.from_json(p) for t, p in self.link.published if t == topics.connection(THING)]

    def ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.state.files["commands.json"])
        return found


def an_image(name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"000000000000.dkr.ecr.eu-west-1.amazonaws.com/fleetgrass/{name}@sha256:{digest}"


def until_killed(act: Callable[[], object]) -> bool:
    """Do ``act``; return whether it was killed."""
    try:
        act()
    except Killed:
        return True
    return False
