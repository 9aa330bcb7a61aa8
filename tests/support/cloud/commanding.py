"""Fixtures of the command tests: every operation on one ledger, with a clock and a broker to control."""

from dataclasses import dataclass, field
from typing import Any

from cloud.domain.commands.command import Command
from cloud.functions.commands import (
    collect_logs,
    reboot_device,
    request_report,
    restart_application,
    retry_application,
    rotate_secrets,
)
from cloud.functions.commands.get_command import get_command
from cloud.functions.commands.list_commands import list_commands
from cloud.http.command_handler import CommandRoute
from cloud.services.dispatch import Dispatcher
from cloud.services.redelivery import Redelivery
from cloud.tables.commands import Commands
from contract.commands import CommandResult, CommandState
from tests.support.cloud.answers import served
from tests.support.cloud.api import COMMANDS, Clock, FakeDevices, a_device, an_event
from tests.support.cloud.fakes import FakeBroker, FakeBundles

#: Every route that sends a device a command.
ORDERS: tuple[CommandRoute[Any], ...] = (
    reboot_device.ROUTE,
    request_report.ROUTE,
    restart_application.ROUTE,
    retry_application.ROUTE,
    collect_logs.ROUTE,
    rotate_secrets.ROUTE,
)
REBOOT = reboot_device.ROUTE.key
LIST, GET = "GET /devices/{device}/commands", "GET /devices/{device}/commands/{command}"


@dataclass
class Api:
    """The operations, by robot-7's name and with the application web unless another is named."""

    table: Any
    commands: Commands
    clock: Clock = field(default_factory=Clock)
    broker: FakeBroker = field(default_factory=FakeBroker)
    bundles: FakeBundles = field(default_factory=FakeBundles)
    devices: FakeDevices = field(default_factory=lambda: FakeDevices([a_device(application_names=("web",))]))

    @property
    def dispatcher(self) -> Dispatcher:
        return Dispatcher(self.commands, self.broker, self.bundles)

    def order(
        self, key: str, body: object = None, *, device: str = "robot-7", app: str = "web", **more: Any
    ) -> dict[str, Any]:
        (route,) = (route for route in ORDERS if route.key == key)
        entry = served(
            lambda request: route.answer(
                request, devices=self.devices, dispatcher=self.dispatcher, clock=self.clock
            ),
            route=key,
        )
        path = {"device": device, **({"app": app} if "{app}" in key else {})}
        body = {"reason": "stuck"} if body is None else body
        return entry(an_event(key, path=path, body=body, **more), None)

    def reboot(self, device: str = "robot-7", body: object = None, **more: Any) -> dict[str, Any]:
        return self.order(REBOOT, body, device=device, **more)

    def get(self, command: str, device: str = "robot-7", **more: Any) -> dict[str, Any]:
        entry = served(
            lambda request: get_command(
                request, devices=self.devices, commands=self.commands, bundles=self.bundles, clock=self.clock
            ),
            route=GET,
        )
        return entry(an_event(GET, path={"device": device, "command": command}, **more), None)

    def page(self, device: str = "robot-7", roles: str = "Fleet.Reader", **query: str) -> dict[str, Any]:
        entry = served(
            lambda request: list_commands(
                request, devices=self.devices, commands=self.commands, clock=self.clock
            ),
            route=LIST,
        )
        event = an_event(LIST, path={"device": device}, roles=roles)
        return entry(event | {"queryStringParameters": query or None}, None)

    def says(self, command: str, state: CommandState, **more: Any) -> Command | None:
        result = CommandResult(id=command, state=state, at=self.clock.now, **more)
        return self.commands.apply_result("robot-7", result, self.clock.now)

    def is_back(self) -> int:
        """Do what record-connection does when robot-7 connects or says hello."""
        return Redelivery(self.dispatcher).device_is_back("robot-7", self.clock.now)

    def look(self, command: Command) -> None:
        """Do what the sweep does with a command that waits."""
        Redelivery(self.dispatcher).look(command, self.devices, self.clock.now)

    def sweep(self) -> int:
        return self.commands.infer_due(self.clock.now, waits=self.look)

    def rows(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.table.scan(TableName=COMMANDS)["Items"]
        return items
