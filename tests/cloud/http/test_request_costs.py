"""What every route asks of AWS when it succeeds, recorded.

No scan of a table, no call for each device of a fleet, and nothing that the function's role does not grant.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from cloud.auth.routes import PUBLIC_ROUTES, ROUTES
from cloud.aws.attributes import to_item
from cloud.clock import new_id
from cloud.domain.commands.command import Command
from cloud.tables.commands import Commands
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.tables.rows.group_reboot_rows import claim_key
from contract.commands import ReportNowCommand
from contract.names import COMPONENT
from tests.support.cloud.account import GROUPS, AccountHarness, an_account
from tests.support.cloud.template import resources

pytestmark = pytest.mark.slow

HERE, THERE = GROUPS
EVERY_ROUTE = (*ROUTES, *PUBLIC_ROUTES)
MORE = 12  # devices in each group, and commands of the device that is asked for
MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}
#: How IAM calls what boto3 calls otherwise (service authorization reference).
SERVICES = {"greengrassv2": "greengrass", "iot-data": "iot"}
ACTIONS = {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket"}
#: By key, or by a condition on one.
BY_KEY = {
    "GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems",
}  # fmt: skip
#: Greengrass v2, which moto does not know: what it answers where a target has a deployment already.
GREENGRASS: dict[str, dict[str, Any]] = {
    "ListDeployments": {"deployments": [{"deploymentId": "gg-1"}]},
    "GetDeployment": {
        "deploymentId": "gg-1",
        "iotJobId": "job-1",
        "components": {COMPONENT: {"componentVersion": "1.0.0"}},
    },
    "CreateDeployment": {"deploymentId": "gg-2", "iotJobId": "job-2"},
    "ListEffectiveDeployments": {"effectiveDeployments": []},
}
Made = list[tuple[str, str, dict[str, Any]]]  # service, operation, arguments


@contextmanager
def recorded() -> Iterator[Made]:
    """Give every call to AWS that clients made from now on make."""
    made: Made = []
    events = boto3._get_default_session().events  # what each client's begins as

    def remember(params: dict[str, Any], model: Any, **_: object) -> None:
        made.append((model.service_model.service_name, model.name, dict(params)))

    def answer(model: Any, **_: object) -> Any:
        return SimpleNamespace(status_code=200), GREENGRASS[model.name]

    events.register("before-parameter-build", remember)
    events.register("before-call.greengrassv2", answer)
    yield made
    events.unregister("before-call.greengrassv2", answer)
    events.unregister("before-parameter-build", remember)


def grow(harness: AccountHarness) -> None:
    dynamodb = boto3.client("dynamodb")
    devices, commands = Devices(dynamodb, "DevicesTable", "HistoryTable"), Commands(dynamodb, "CommandsTable")
    for number in range(MORE):
        for group in GROUPS:
            devices.create(f"robot-{number}-of-{group}", group, now=harness.now)
        message = ReportNowCommand(
            id=new_id("cmd", harness.now - timedelta(minutes=1)),
            issued_at=harness.now - timedelta(minutes=1),
            expires_at=harness.now, requested_by="ada", reason="costs",
            command="report-now",
        )  # fmt: skip
        commands.create(Command.made_of(harness.parameters[HERE]["device"], message))


def prepare(harness: AccountHarness) -> None:
    """Bring the account to where each route can succeed."""
    iot, ecr, dynamodb = (boto3.client(name) for name in ("iot", "ecr", "dynamodb"))
    for group in GROUPS:
        thing = harness.parameters[group]["device"]
        iot.create_thing(thingName=thing)
        iot.add_thing_to_thing_group(thingName=thing, thingGroupName=group)
    ecr.put_image(repositoryName="fleetgrass/web", imageManifest=json.dumps(MANIFEST), imageTag="v1")
    deployments = Deployments(dynamodb, "DeploymentsTable")
    submitting = deployments.get(harness.parameters[HERE]["deployment"])
    assert submitting is not None
    deployments.activate(
        submitting, greengrass_id="gg-1", job_id="job-1", now=harness.now, due_at=harness.now
    )
    dynamodb.delete_item(TableName="CommandsTable", Key=to_item(claim_key(THERE)))  # its group reboot is done


def ask(harness: AccountHarness, route: str) -> dict[str, Any]:
    """The answer to the call of a route that has the most to do."""
    headers = {"Idempotency-Key": route.partition(" ")[2]} if route.startswith("POST ") else None
    match route:
        case "POST /deployments":
            applications = [{"name": "web", "image": "fleetgrass/web:v1"}]
            event: dict[str, Any] = {"body": {"target": {"group": HERE}, "applications": applications}}
        case "POST /groups":
            event = {"body": {"name": "line-5"}}
        case "PUT /groups/{group}/devices/{device}":
            event = {"device": harness.parameters[THERE]["device"], "query": {"move": "true"}}
        case _:
            event = {}
    group = THERE if route == "POST /groups/{group}/reboots" else HERE  # there none is running any more
    return harness.ask(route, group, "Fleet.Admin", headers=headers, **event)


def costs(more: bool) -> dict[str, Made]:
    """What each route asks in an account of its own, in which the routes before it were asked for too."""
    found: dict[str, Made] = {}
    with an_account() as harness, recorded() as made:
        prepare(harness)
        if more:
            grow(harness)
        for route in EVERY_ROUTE:
            made.clear()
            answer = ask(harness, route)
            assert 200 <= answer["statusCode"] < 300, (route, answer)
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


def permissions(service: str, call: str, arguments: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """The rights that a call needs: the action, and of DynamoDB the table's or index's name too."""
    if service != "dynamodb":
        yield f"{SERVICES.get(service, service)}:{ACTIONS.get(call, call)}", None
    elif call == "TransactWriteItems":
        for item in arguments["TransactItems"]:
            for verb, about in item.items():
                yield f"dynamodb:{verb}Item", about["TableName"]
    elif call == "BatchGetItem":
        yield from (("dynamodb:BatchGetItem", table) for table in arguments["RequestItems"])
    else:
        index = f"/index/{arguments['IndexName']}" if "IndexName" in arguments else ""
        yield f"dynamodb:{call}", arguments["TableName"] + index


def grants(function: str) -> set[tuple[str, object]]:
    """What a function's role grants, in the words of ``permissions``."""
    found: set[tuple[str, object]] = set()
    role = resources("AWS::IAM::Role")[function.title().replace("-", "") + "Role"]
    for statement in (each for policy in role["Policies"] for each in policy["PolicyDocument"]["Statement"]):
        named = re.findall(r"(\w+Table)\.Arn\}?((?:/index/[\w*-]+)?)", json.dumps(statement["Resource"]))
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            found |= {(action, table + index) for table, index in named} or {(action, None)}
    return found


def is_granted(action: str, of: object, granted: set[tuple[str, object]]) -> bool:
    anywhere = str(of).partition("/index/")[0] + "/index/*"
    return (action, of) in granted or ("/index/" in str(of) and (action, anywhere) in granted)


@pytest.mark.parametrize("route", EVERY_ROUTE)
def test_every_call_is_granted_to_the_function_that_makes_it(route: str, large: dict[str, Made]) -> None:
    granted = grants(PUBLIC_ROUTES[route] if route in PUBLIC_ROUTES else ROUTES[route].operation)
    needed = {each for made in large[route] for each in permissions(*made)}

    assert {each for each in needed if not is_granted(*each, granted)} == set()


def test_the_calls_of_nearly_every_route_are_seen(large: dict[str, Made]) -> None:
    """A recorder that hears nothing finds no fault: only what is public asks AWS nothing."""
    assert {route for route, made in large.items() if not made} == set(PUBLIC_ROUTES)
    assert {name for made in large.values() for service, name, _ in made if service == "greengrassv2"} == {
        *GREENGRASS
    }
