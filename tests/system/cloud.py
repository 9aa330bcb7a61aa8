"""The cloud of one device: its real functions over a table, as the rules and the gateway call them."""

import itertools
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from cloud.aws.errors import Unavailable
from cloud.defaults import OFFLINE_DEBOUNCE_S
from cloud.domain.commands.command import Command
from cloud.domain.devices.device import Device
from cloud.domain.devices.presence import Seen, state
from cloud.functions.commands import reboot_device, restart_application
from cloud.functions.events import record_connection, record_report
from cloud.http.command_handler import CommandRoute
from cloud.services.dispatch import Dispatcher
from cloud.services.nucleus_registration import GroupNuclei
from cloud.services.reboot_proofs import RebootProofs
from cloud.services.redelivery import Redelivery
from cloud.tables.commands import Commands
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.tables.proofs import Proofs
from cloud.tables.rows.command_rows import to_command
from tests.support.cloud.answers import served
from tests.support.cloud.api import an_event
from tests.support.cloud.fakes import FakeGroups
from tests.support.cloud.memory_dynamodb import table_of
from tests.support.edge.fakes import THING

_numbers = itertools.count()


class Cloud:
    """Functions and tables. ``publish`` is the broker; it may raise what AWS raises."""

    def __init__(
        self, dynamodb: Any, now: Callable[[], datetime], publish: Callable[[str, bytes], None]
    ) -> None:
        number = next(_numbers)
        names = {}
        for resource in ("DevicesTable", "HistoryTable", "CommandsTable", "DeploymentsTable"):
            described = table_of(resource, number)
            dynamodb.create_table(**described)
            names[resource] = described["TableName"]
        self._dynamodb = dynamodb
        self._commands_table = names["CommandsTable"]
        self._now = now
        self.devices = Devices(dynamodb, names["DevicesTable"], names["HistoryTable"])
        self.commands = Commands(dynamodb, self._commands_table)
        self.proofs = Proofs(dynamodb, self._commands_table)
        self.deployments = Deployments(dynamodb, names["DeploymentsTable"])
        self.devices.create(THING, "line-3", now=now())
        self.broken = False  # the broker takes nothing
        self._to_broker = publish

    def publish(self, topic: str, payload: bytes) -> None:
        if self.broken:
            raise Unavailable("the broker did not answer")
        self._to_broker(topic, payload)

    def send(self, body: str) -> None:
        """Take a wake-up of a group's reboot; there are none here."""
        raise AssertionError(body)

    def order(
        self, route: CommandRoute[Any], key: str, fields: Mapping[str, object], app: str = ""
    ) -> dict[str, Any]:
        """Return the answer to an operator's POST."""
        path = {"device": THING, **({"app": app} if app else {})}
        body = {"reason": "because", **fields}
        return self.answer(route, an_event(route.key, path=path, body=body, headers={"Idempotency-Key": key}))

    def answer(self, route: CommandRoute[Any], event: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to what the gateway hands over."""
        entry = served(
            lambda request: route.answer(
                request, devices=self.devices, dispatcher=self.dispatcher, clock=self._now
            ),
            route=route.key,
            audit=lambda entry: None,
        )
        return entry(event, None)

    def reboot(self, key: str, **fields: object) -> dict[str, Any]:
        return self.order(reboot_device.ROUTE, key, fields)

    def restart(self, key: str, app: str) -> dict[str, Any]:
        return self.order(restart_application.ROUTE, key, {}, app)

    @property
    def dispatcher(self) -> Dispatcher:
        return Dispatcher(self.commands, self)

    @property
    def redelivery(self) -> Redelivery:
        return Redelivery(self.dispatcher)

    def hear_connection(self, event: dict[str, Any]) -> str:
        """Take what a rule gives to record-connection."""
        return record_connection.record(
            event,
            self.devices,
            lambda device: self.redelivery.device_is_back(device, self._now()),
            RebootProofs(self.devices, self.proofs, self),
        )

    def hear_report(self, event: dict[str, Any]) -> None:
        """Take what a rule gives to record-report through the queue; nothing may have to come again."""
        again = record_report.record_batch(
            [{"messageId": "1", "body": json.dumps(event)}],
            devices=self.devices,
            commands=self.commands,
            proofs=self.proofs,
            deployments=self.deployments,
            group_reboots=self,
            groups=GroupNuclei(FakeGroups()),
        )
        assert again == [], event

    def sweep(self) -> None:
        now = self._now()
        self.commands.infer_due(now, waits=lambda command: self.redelivery.look(command, self.devices, now))

    def device(self) -> Device:
        found = self.devices.get(THING)
        assert found is not None
        return found

    def seen(self) -> Seen:
        return state(self.device(), self._now(), offline_debounce_s=OFFLINE_DEBOUNCE_S)

    def ledger(self) -> dict[str, Command]:
        """Return every command by its id."""
        page = self._dynamodb.query(
            TableName=self._commands_table,
            KeyConditionExpression="device = :device",
            ExpressionAttributeValues={":device": {"S": THING}},
        )
        return {command.id: command for command in map(to_command, page["Items"])}
