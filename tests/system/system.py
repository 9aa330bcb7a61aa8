"""One device and its cloud, with everything between them in the hands of a test.

What goes out lies in the air until it is delivered, lost or doubled, in any order; what arrived at the
broker lies, with the rule's time on it, before the function that takes it. While ``prompt``, nothing
lies anywhere. Time passes for all at once; only the device's own clock may be wrong.
"""

import base64
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from contract import topics
from contract.commands import CommandResult, RebootCommand, ResultAck, TimeAnswer, parse_command
from contract.events import ConnectionEvent
from contract.reports import ApplicationStatus, DeviceReport
from edge.events import MessageReceived
from tests.support.cloud.api import NOW
from tests.support.cloud.devices import a_rule_event
from tests.support.edge.fakes import THING, AgentHarness, Killed, a_pass
from tests.system.cloud import Cloud
from tests.system.watched import LEDGER, Watch, WatchedContainers, WatchedMachine, WatchedState

HEARTBEAT_S = 240.0
LOOK_S = 300.0  # containers are not what this is about
VERSION_FORGOTTEN_S = 3_600.0  # AWS: after about an hour offline versionNumber begins at 0 again
PRESENCE = "$aws/events/presence"


@dataclass(frozen=True, slots=True)
class Flying:
    """An MQTT message on its way."""

    way: Literal["up", "down"]
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a rule hands to a function, with the server's time of its arrival."""

    topic: str
    event: dict[str, Any]


class Heard:
    """What reached the table of the device's reports, the newest of each part."""

    def __init__(self) -> None:
        self.epochs: set[str] = set()
        self.sequence = -1
        self.head: DeviceReport | None = None
        self.statuses: dict[str, tuple[int, ApplicationStatus]] = {}

    def add(self, report: DeviceReport) -> None:
        self.epochs.add(report.epoch)
        self.sequence = max(self.sequence, report.sequence)
        if report.part == 0 and (self.head is None or report.sequence > self.head.sequence):
            self.head = report
        for status in report.applications:
            if report.sequence > self.statuses.get(status.name, (-1, status))[0]:
                self.statuses[status.name] = report.sequence, status


class System:
    """The device (machine, nucleus, agent), the broker and the cloud."""

    def __init__(
        self, dynamodb: Any, *runs: ApplicationStatus, keeps_session: bool, tells_time: bool
    ) -> None:
        self.keeps_session = keeps_session  # the classic nucleus; Lite does not
        self.harness = harness = AgentHarness(heartbeat_s=HEARTBEAT_S)
        harness.answers_time = harness.acknowledges = False  # the answers go through the air as well
        self.watch = Watch(lambda: harness.server_now, lambda: harness.clock.date)
        self.state = WatchedState(harness.fate, self.watch, lambda: harness.machine.boot)
        self.containers = WatchedContainers(self.watch, self.state)
        harness.state, harness.containers = self.state, self.containers
        harness.machine = WatchedMachine(harness.fate, self.watch, self.state)
        self.look(*runs)
        self.cloud = Cloud(dynamodb, lambda: harness.server_now, self.to_device)
        self.prompt = True
        self.tells_time = self.acknowledges = tells_time  # a cloud that does neither is an old one
        self.air: list[Flying] = []
        self.arrived: list[Arrived] = []
        self.delivered: list[Flying] = []  # to the device, ever
        self.alive = self.powered = self.connected = False
        self.obeys = True  # the machine, when it is asked to reboot
        self._asked = 0
        self._session: list[Flying] = []  # what the broker keeps for a device that is away
        self._spool: list[Flying] = []  # what the nucleus keeps while its broker is away
        self._published = 0
        self._version = -1
        self._sessions = itertools.count()
        self._session_id = ""
        self._left_at: datetime | None = None
        self.reached: set[str] = set()  # commands that the device must answer
        self.ledgers_lost = 0
        self.lost_words: set[str] = set()  # commands some word of which was lost
        self.heard = Heard()
        self.power_on()

    @property
    def now(self) -> datetime:
        """The true time."""
        return self.harness.server_now

    # The device

    def power_on(self) -> None:
        if self.powered:
            return
        self.powered = True
        self.harness.machine.boot += 1
        self.harness.clock.elapsed_s = 20.0
        self.connect()
        self.start_agent()

    def power_off(self, *, in_order: bool) -> None:
        """Cut the power, or go down as a machine does that was asked to."""
        if not self.powered:
            return
        if in_order:
            self._agent(self.harness.stop)
        self.alive = self.powered = False
        self._spool.clear()
        self.disconnect("CONNECTION_LOST")

    def start_agent(self) -> None:
        """Let the nucleus start the agent, if it does not run."""
        if self.powered and not self.alive:
            self.alive = True
            self.containers.under_way.clear()
            self._agent(self._start)

    def _start(self) -> None:
        self.harness.start()

    def kill_agent(self) -> None:
        self._remember_reached()
        self.alive = False

    def will_be_killed(self, effects: int) -> None:
        """Have the agent die right after that many more effects."""
        self.harness.fate.effects.clear()
        self.harness.fate.kill_after = effects

    def spare(self) -> None:
        """Let it live, if it has not died yet."""
        self.harness.fate.kill_after = None

    def stop_agent(self) -> None:
        self._agent(self.harness.stop)

    def lose_link(self) -> None:
        """Close the IPC connection under the agent."""

        def lose() -> int | None:
            self.harness.link.lost("closed")
            return self.harness.turns()

        self._agent(lose)

    def look(self, *statuses: ApplicationStatus, critical: bool = False, locked: bool = False) -> None:
        """Fix what every look at the containers finds from now on."""
        found = a_pass(*statuses, critical=critical, locked=locked)
        self.containers.found = replace(found, next_look_s=LOOK_S)

    def jump_clock(self, by: timedelta) -> None:
        """Change the device's date, and nobody else's."""
        self.harness.clock.date += by
        self.harness.server_ahead -= by

    def lose_ledger(self) -> None:
        """Have the disk return nonsense for the ledger at the agent's next start."""
        if LEDGER in self.state.files:
            self.kill_agent()
            self.state.files[LEDGER] = b"\0" * 100
            self.reached.clear()
            self.ledgers_lost += 1

    def advance(self, seconds: float) -> None:
        """Let time pass; the agent wakes when it wants to."""
        while seconds > 0:
            agent = self.harness.agent if self.alive else None
            step = min(agent.wait_s(), seconds) if agent is not None else seconds
            self.harness.clock.advance(step)
            seconds -= step
            self._agent(self.harness.turns)

    def end_restarts(self) -> None:
        def end() -> int | None:
            self.containers.end_restarts()
            return self.harness.turns()

        self._agent(end)

    def _agent(self, call: Callable[[], int | None]) -> None:
        """Have the agent do something; it may be killed meanwhile, or end."""
        if not self.alive:
            return
        try:
            status = call()
        except Killed:
            self.harness.fate.kill_after = None
            self.kill_agent()
        else:
            self._remember_reached()
            self.alive = status is None
        self._collect()
        if self.harness.machine.reboots > self._asked:
            self._asked = self.harness.machine.reboots
            if self.obeys:
                self.power_off(in_order=self.alive)
                self.harness.clock.advance(8.0)
                self.power_on()

    def _remember_reached(self) -> None:
        """What the disk knows at this moment has reached the device."""
        if LEDGER in self.state.files and self.state.files[LEDGER].startswith(b"{"):
            ledger = self.harness.ledger()
            self.reached |= ledger.get("entries", {}).keys() | {c["id"] for c in ledger.get("held", [])}

    def _collect(self) -> None:
        """Take what the agent published since the last time."""
        new = self.harness.link.published[self._published :]
        self._published += len(new)
        self._spool += [Flying("up", topic, payload) for topic, payload in new]
        if self.connected:
            self.air += self._spool
            self._spool.clear()
        self._flow()

    # The connection of the nucleus to the broker

    def connect(self, *, skipped: int = 0, clock_off_s: float = 0.0) -> None:
        if self.connected or not self.powered:
            return
        away_s = 0.0 if self._left_at is None else (self.now - self._left_at).total_seconds()
        self._version = 0 if away_s > VERSION_FORGOTTEN_S else self._version + 1 + skipped
        self._session_id = f"session-{next(self._sessions)}"
        self.connected = self.harness.link.broker_up = True
        self.harness.link.refuses_qos_0 = False
        self._tell_presence("connected", clock_off_s)
        self.air += [*self._session, *self._spool]
        self._session.clear()
        self._spool.clear()
        self._flow()

    def disconnect(self, reason: str, *, clock_off_s: float = 0.0) -> None:
        if not self.connected:
            return
        self.connected = False
        self.harness.link.broker_up = self.keeps_session  # Lite refuses at once, the classic one spools
        self.harness.link.refuses_qos_0 = True  # and neither keeps this
        self._left_at = self.now
        self._tell_presence("disconnected", clock_off_s, disconnectReason=reason)
        down = [message for message in self.air if message.way == "down"]
        self.air = [message for message in self.air if message.way == "up"]
        if self.keeps_session:
            self._session += down  # never acknowledged: they come again
        self._flow()

    def take_over(self) -> None:
        """Connect anew before the broker noticed that the old connection is dead."""
        if self.connected:
            old = (self._version, self._session_id)
            self._version, self._session_id = self._version + 1, f"session-{next(self._sessions)}"
            self._tell_presence("connected", 0.0)
            self._tell_presence("disconnected", 0.0, old=old, disconnectReason="DUPLICATE_CLIENTID")
            self._flow()

    def _tell_presence(
        self, kind: str, clock_off_s: float, old: tuple[int, str] | None = None, **more: str
    ) -> None:
        version, session = old or (self._version, self._session_id)
        event = {
            "clientId": THING,
            "timestamp": int((self.now.timestamp() + clock_off_s) * 1000),
            "eventType": kind,
            "sessionIdentifier": session,
            "versionNumber": version,
            **more,
        }
        self._arrive(f"{PRESENCE}/{kind}/{THING}", event)

    # The air

    def to_device(self, topic: str, payload: bytes) -> None:
        """Take what the cloud publishes."""
        if topic == topics.command_request(THING, "reboot"):
            command = parse_command(payload)
            assert isinstance(command, RebootCommand)
            if command.not_before is not None:
                self.watch.not_before[command.id] = command.not_before
        message = Flying("down", topic, payload)
        if self.connected:
            self.air.append(message)
            self._flow()
        elif self.keeps_session:
            self._session.append(message)

    def fly(self, index: int) -> None:
        """Deliver one message of those in the air."""
        message = self.air.pop(index % len(self.air))
        if message.way == "down":
            self.delivered.append(message)
            self._agent(lambda: self.harness.deliver(MessageReceived(message.topic, message.payload)))
        else:
            self._arrive(message.topic, message.payload)
        self._flow()

    def deliver_again(self, index: int) -> None:
        """Deliver what was delivered before, as a broker does that lost an acknowledgement."""
        if self.connected:
            self.air.append(self.delivered[index % len(self.delivered)])
            self._flow()

    def take(self, index: int) -> None:
        """Have a function take one of what arrived."""
        arrived = self.arrived.pop(index % len(self.arrived))
        if arrived.topic == topics.connection(THING) or arrived.topic.startswith(PRESENCE):
            self.cloud.hear_connection(arrived.event)
        else:
            self.cloud.hear_report(arrived.event)
            if arrived.topic == topics.report(THING):
                self.heard.add(DeviceReport.from_json(base64.b64decode(arrived.event["payload"])))
        self._flow()

    def lose(self, index: int) -> None:
        """Lose a message in the air."""
        message = self.air.pop(index % len(self.air))
        if message.topic.endswith("/res"):
            self.lost_words |= {r.id for r in self.harness.results() if r.to_json() == message.payload}

    def lose_arrived(self, index: int) -> None:
        """Lose what a rule handed to record-connection; what goes through the queue is not lost."""
        arrived = self.arrived[index % len(self.arrived)]
        if arrived.topic == topics.connection(THING) or arrived.topic.startswith(PRESENCE):
            self.arrived.remove(arrived)

    def _arrive(self, topic: str, payload: bytes | dict[str, Any]) -> None:
        """Let the rules see a message: they tell the time, acknowledge results, and feed functions."""
        received = (self.now - NOW).total_seconds()
        self.arrived.append(Arrived(topic, a_rule_event(topic, payload, received)))
        if topic == topics.connection(THING) and isinstance(payload, bytes):
            nonce = ConnectionEvent.from_json(payload).nonce
            if nonce is not None and self.tells_time:
                answer = TimeAnswer(nonce=nonce, server_time_ms=int(self.now.timestamp() * 1000))
                self.to_device(topics.command_request(THING, "time"), answer.to_json())
        elif topic.endswith("/res") and isinstance(payload, bytes) and self.acknowledges:
            result = CommandResult.from_json(payload)
            ack = ResultAck(id=result.id, state=result.state)
            self.to_device(topics.command_request(THING, "ack"), ack.to_json())

    def _flow(self) -> None:
        while self.prompt and (self.air or self.arrived):
            if self.air:
                self.fly(0)
            else:
                self.take(0)

    # What is true in the end

    def deliver_all(self) -> None:
        self.prompt = True
        self._flow()
