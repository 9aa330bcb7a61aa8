"""Fixtures of the group reboot tests: the functions, tables in memory, devices that do as told."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cloud.domain.devices.device_messages import DeviceMessage
from cloud.domain.devices.presence import Presence
from cloud.functions.events.advance_group_reboot import Advance, advance_batch
from cloud.functions.events.record_report import record_batch
from cloud.functions.events.sweep import wake_due
from cloud.functions.group_reboots.cancel_group_reboot import cancel_group_reboot
from cloud.functions.group_reboots.get_group_reboot import get_group_reboot
from cloud.functions.group_reboots.reboot_group import reboot_group
from cloud.http.gateway_events import Response
from cloud.http.handler import Request
from cloud.services.dispatch import Dispatcher
from cloud.services.nucleus_registration import GroupNuclei
from cloud.tables.commands import Commands
from cloud.tables.devices import Devices
from cloud.tables.group_reboots import GroupReboots
from cloud.tables.proofs import Proofs
from contract.commands import CommandResult, CommandState, RebootCommand
from contract.topics import command_result, thing_of
from tests.cloud.functions.test_record_report import Outcomes
from tests.support.cloud.answers import served
from tests.support.cloud.api import COMMANDS, NOW, Clock, Watched, an_event, body_of, empty
from tests.support.cloud.devices import a_connection_event, a_rule_event, devices_table
from tests.support.cloud.fakes import FakeBroker, FakeGroups, FakeQueue

POST = "POST /groups/{group}/reboots"
GET = "GET /groups/{group}/reboots/{reboot}"
CANCEL = "POST /groups/{group}/reboots/{reboot}/cancel"
GROUP = "line-3"


class Died(BaseException):
    """The process ends here."""


@dataclass
class Fuse:
    """Ends the process after so many calls; None never does."""

    left: int | None = None
    calls: int = 0
    out: bool = False  # while a test looks

    def burn(self, call: str = "") -> None:
        if self.out:
            return
        self.calls += 1
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                self.left = None
                raise Died


@dataclass
class GroupRebootHarness:
    """One group's devices, the functions around its reboots, and every message on its way."""

    dynamodb: Watched
    devices: Devices
    fates: dict[str, CommandState] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    broker: FakeBroker = field(default_factory=FakeBroker)
    queue: FakeQueue = field(default_factory=FakeQueue)
    fuse: Fuse = field(default_factory=Fuse)
    commanded: dict[str, set[str]] = field(default_factory=dict)
    results: list[tuple[str, CommandResult]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.commands = Commands(self.dynamodb, COMMANDS)
        self.reboots = GroupReboots(self.dynamodb, COMMANDS)
        self.broker.after = self._hear

    def enrol(self, *names: str, group: str = GROUP, online: bool = True) -> None:
        for name in names:
            self.devices.create(name, group, now=NOW)
            if online:
                self.devices.record_presence(Presence(name, True, "s1", 1, event_at=NOW, received_at=NOW))
                self.devices.apply(DeviceMessage(name, a_connection_event(1), NOW))

    def call(self, route: str, path: Mapping[str, str], **more: Any) -> dict[str, Any]:
        operations: dict[str, Callable[[Request], Response]] = {
            POST: lambda request: reboot_group(
                request, devices=self.devices, reboots=self.reboots, queue=self.queue, clock=self.clock
            ),
            GET: lambda request: get_group_reboot(request, reboots=self.reboots),
            CANCEL: lambda request: cancel_group_reboot(
                request, reboots=self.reboots, queue=self.queue, clock=self.clock
            ),
        }
        query = more.pop("query", None)
        event = an_event(route, path=path, **more)
        if query is not None:
            event["queryStringParameters"] = query
        return served(operations[route], route=route)(event, None)

    def post(self, group: str = GROUP, body: object = None, **more: Any) -> dict[str, Any]:
        return self.call(POST, {"group": group}, body={"reason": "update"} if body is None else body, **more)

    def started(self, **wish: Any) -> str:
        """Post a group reboot and return its id; nothing has moved it yet."""
        answer = self.post(body={"reason": "update", **wish})
        assert answer["statusCode"] == 202, answer
        return str(body_of(answer)["id"])

    def get(self, reboot: str, **more: Any) -> Any:
        answer = self.call(GET, {"group": GROUP, "reboot": reboot}, **more)
        assert answer["statusCode"] == 200, answer
        return body_of(answer)

    def states(self, reboot: str) -> dict[str, str]:
        return {each["device"]: each["state"] for each in self.get(reboot)["members"]}

    def cancel(self, reboot: str, **more: Any) -> dict[str, Any]:
        return self.call(CANCEL, {"group": GROUP, "reboot": reboot}, **more)

    @property
    def advance(self) -> Advance:
        return Advance(self.reboots, self.devices, Dispatcher(self.commands, self.broker), self.clock, 30.0)

    def pump(self) -> list[str]:
        """Handle every wake-up; return the ids of messages that failed. What died comes again."""
        failed: list[str] = []
        while self.queue.bodies:
            body = self.queue.bodies.pop(0)
            try:
                record = {"messageId": body, "body": body}
                failed += advance_batch([record], advance=self.advance, queue=self.queue)
            except Died:
                self.queue.bodies.append(body)
        return failed

    def hear(self, device: str, result: CommandResult) -> None:
        """What record-report does with a device's result; it comes again when it died."""
        event = a_rule_event(command_result(device, "reboot"), result.to_json())
        event["received_at"] = int(self.clock.now.timestamp() * 1000)
        record = {"messageId": "1", "body": json.dumps(event)}
        assert not record_batch(
            [record], devices=self.devices, commands=self.commands,
            proofs=Proofs(self.dynamodb, COMMANDS), deployments=Outcomes(),
            group_reboots=self.queue, groups=GroupNuclei(FakeGroups()),
        )  # fmt: skip

    def says(self, device: str, state: CommandState, **more: Any) -> None:
        """The device's word on its newest command."""
        command = max(self.commanded[device])
        self.hear(device, CommandResult(id=command, state=state, at=self.clock.now, **more))

    def sweep(self) -> int:
        self.clock.advance(61)
        return wake_due(self.reboots.due(self.clock.now), self.queue)

    def rows(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.dynamodb.scan(TableName=COMMANDS)["Items"]
        return items

    def _hear(self, topic: str, payload: bytes) -> None:
        device, command = str(thing_of(topic)), RebootCommand.from_json(payload)
        known = self.commanded.setdefault(device, set())
        if command.id not in known and device in self.fates:
            result = CommandResult(id=command.id, state=self.fates[device], at=self.clock.now, code=None)
            self.results.append((device, result))
        known.add(command.id)
        self.fuse.burn()


@contextmanager
def unburnt(fuse: Fuse) -> Iterator[None]:
    """Let calls be those of the test itself."""
    fuse.out = True
    yield
    fuse.out = False


def a_harness(dynamodb: Any) -> GroupRebootHarness:
    """Return a harness on empty tables; its fuse burns with every call to DynamoDB and every publish."""
    empty(dynamodb, COMMANDS)
    fuse = Fuse()
    watched = Watched(dynamodb, after=fuse.burn)
    with unburnt(fuse):
        devices, _ = devices_table(watched)
    return GroupRebootHarness(watched, devices, fuse=fuse)
