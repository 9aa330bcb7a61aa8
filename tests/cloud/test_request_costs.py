"""What every route asks of AWS, recorded: no scan of a table, and no call for each device of a fleet."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import boto3
import pytest

from cloud import auditing
from cloud.access import PUBLIC_ROUTES, ROUTES
from cloud.clock import new_id
from cloud.command import Command
from cloud.tables.commands import Commands
from cloud.tables.devices import Devices
from contract.commands import ReportNowCommand
from tests.cloud.world import GROUPS, World, a_world

HERE = GROUPS[0]
EVERY_ROUTE = (*ROUTES, *PUBLIC_ROUTES)
MORE = 12  # devices in each group, and commands of the device that is asked for
#: By key, or by a condition on one.
BY_KEY = {
    "GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems",
}  # fmt: skip
Made = list[tuple[str, str, dict[str, Any]]]  # service, operation, arguments


@contextmanager
def recorded() -> Iterator[Made]:
    """Give every call to AWS that clients made from now on make."""
    made: Made = []
    events = boto3._get_default_session().events  # what each client's begins as

    def remember(params: dict[str, Any], model: Any, **_: object) -> None:
        made.append((model.service_model.service_name, model.name, dict(params)))

    auditing._audit.cache_clear()  # its client is of another world
    events.register("before-parameter-build", remember)
    yield made
    events.unregister("before-parameter-build", remember)
    auditing._audit.cache_clear()


def grow(world: World) -> None:
    dynamodb = boto3.client("dynamodb")
    devices, commands = Devices(dynamodb, "DevicesTable", "HistoryTable"), Commands(dynamodb, "CommandsTable")
    for number in range(MORE):
        for group in GROUPS:
            devices.create(f"robot-{number}-of-{group}", group, now=world.now)
        message = ReportNowCommand(
            id=new_id("cmd", world.now - timedelta(minutes=1)), issued_at=world.now - timedelta(minutes=1),
            expires_at=world.now, requested_by="ada", reason="costs",
            command="report-now",
        )  # fmt: skip
        commands.create(Command.made_of(world.parameters[HERE]["device"], message))


def costs(more: bool) -> dict[str, Made]:
    """What each route asks in a world of its own, in which the routes before it were asked for too."""
    found: dict[str, Made] = {}
    with a_world() as world, recorded() as made:
        if more:
            grow(world)
        for route in EVERY_ROUTE:
            made.clear()
            answer = world.ask(route, HERE, "Fleet.Admin")
            assert answer["statusCode"] < 500, (route, answer)
            found[route] = list(made)
    return found


@pytest.fixture(scope="module")
def small() -> dict[str, Made]:
    return costs(more=False)


@pytest.fixture(scope="module")
def large() -> dict[str, Made]:
    return costs(more=True)


@pytest.mark.parametrize("route", EVERY_ROUTE)
def test_no_route_scans_a_table(route: str, large: dict[str, Made]) -> None:
    asked = [(name, arguments) for service, name, arguments in large[route] if service == "dynamodb"]

    assert {name for name, _ in asked} <= BY_KEY
    for name, arguments in asked:
        if name == "Query":
            assert " = :" in arguments["KeyConditionExpression"]


@pytest.mark.parametrize("route", EVERY_ROUTE)
def test_a_route_asks_the_same_of_a_larger_fleet(
    route: str, small: dict[str, Made], large: dict[str, Made]
) -> None:
    few, many = (Counter((s, name) for s, name, _ in made[route]) for made in (small, large))

    assert few == many
    assert few.total() <= 20


def test_the_calls_of_nearly_every_route_are_seen(large: dict[str, Made]) -> None:
    """A recorder that hears nothing finds no fault: only what is public asks AWS nothing."""
    assert {route for route, made in large.items() if not made} == set(PUBLIC_ROUTES)
