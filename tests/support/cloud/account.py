"""A whole account in memory, as the template describes it, with the same things in each of two groups.

The handlers run as they are deployed, with the environment that the template gives them. What is in a
group has the group's name in its own, so that an answer that shows it can be told.
"""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cloud.auth.routes import PUBLIC_ROUTES, ROUTES
from cloud.aws import clients
from cloud.clock import new_id
from cloud.domain.commands.command import Command
from cloud.domain.commands.group_reboot import GroupReboot
from cloud.domain.deployments.deployment import Deployment, diff
from cloud.environment import ENVIRONMENT
from cloud.tables.commands import Commands
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.tables.group_reboots import GroupReboots
from cloud.tooling.template import modules
from contract.commands import RebootCommand
from contract.reports import DesiredStatus
from tests.support.cloud.answers import Entry, held
from tests.support.cloud.api import ACCOUNT, REGION, an_event
from tests.support.cloud.commanding import ORDERS
from tests.support.cloud.devices import a_report, a_status, news
from tests.support.cloud.template import template

GROUPS = ("line-3", "line-4")
QUEUE = "GroupRebootQueue"
#: What is sent to routes that take a body, for ``group``; everything else is sent none.
BODIES: Mapping[str, Callable[[str], object]] = {
    **{route.key: lambda group: {"reason": "matrix"} for route in ORDERS},
    "POST /groups/{group}/reboots": lambda group: {"reason": "matrix"},
    "POST /groups": lambda group: {"name": group},
    "POST /deployments": lambda group: {"target": {"group": group}, "applications": []},
}


class NotInAccount(Exception):
    """The harness has nothing for a parameter of a path: give it one in each group."""


class Context:
    """What Lambda tells a function of itself."""

    invoked_function_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:fleetgrass-matrix"


class AccountHarness:
    """``parameters`` of paths, by group; made once and never changed by what is only looked at."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self._dynamodb = boto3.client("dynamodb", region_name=REGION)
        _make_resources(self._dynamodb)
        self.parameters = {group: self._fill(group) for group in GROUPS}

    def ask(
        self,
        route: str,
        group: str,
        roles: str,
        query: Mapping[str, str] | None = None,
        *,
        device: str | None = None,
        **event: Any,
    ) -> dict[str, Any]:
        """The answer of the real handler to a caller with ``roles`` who asks for what is in ``group``.

        ``device`` is another one than the group's own; ``event`` says more of the call, or another body.
        """
        path = {
            segment[1:-1]: self._parameter(segment[1:-1], group)
            for segment in route.split()[1].split("/")
            if segment.startswith("{")
        }
        if device is not None:
            path["device"] = device
        event = {"body": BODIES[route](group) if route in BODIES else None, **event}
        return handler(route)(an_event(route, path=path, roles=roles, query=query, **event), Context())

    def _parameter(self, name: str, group: str) -> str:
        try:
            return self.parameters[group][name]
        except KeyError:
            raise NotInAccount(f"{{{name}}}: tests/support/cloud/account.py has none") from None

    def _fill(self, group: str) -> dict[str, str]:
        """Put into ``group`` one thing for every parameter that a path can have."""
        device = f"robot-of-{group}"
        devices = Devices(self._dynamodb, "DevicesTable", "HistoryTable")
        devices.create(device, group, now=self.now)
        devices.apply(
            news(
                a_report(1, a_status("web"), desired=DesiredStatus(state="CONVERGED", revision=1)),
                (self.now - datetime(2026, 11, 22, 12, tzinfo=UTC)).total_seconds(),
                device,
            )
        )
        return {
            "device": device,
            "group": group,
            "app": "web",
            "repository": "web",
            "command": self._command(device),
            "deployment": self._deployment(group),
            "reboot": self._reboot(group),
        }

    def _command(self, device: str) -> str:
        message = RebootCommand(
            id=new_id("cmd", self.now), issued_at=self.now, expires_at=self.now + timedelta(hours=1),
            requested_by="ada", reason="matrix",
        )  # fmt: skip
        return Commands(self._dynamodb, "CommandsTable").create(Command.made_of(device, message)).id

    def _reboot(self, group: str) -> str:
        reboot = GroupReboot(
            id=new_id("reboot", self.now), group=group, max_concurrent=1, stop_after_failures=1,
            reason="matrix", requested_by="ada", requested_at=self.now, expires_in_s=60.0,
        )  # fmt: skip
        return GroupReboots(self._dynamodb, "CommandsTable").create(reboot).id

    def _deployment(self, group: str) -> str:
        deployment = Deployment(
            id=new_id("dep", self.now), target=f"thinggroup/{group}", revision=1,
            document_uri=f"s3://bucket/desired/{'0' * 64}.json", applications=(), diff=diff((), ()),
            warnings=(), requested_by="ada", reason=None, created_at=self.now, changed_at=self.now,
        )  # fmt: skip
        Deployments(self._dynamodb, "DeploymentsTable").create(
            deployment, due_at=self.now + timedelta(minutes=1)
        )
        return deployment.id


@contextmanager
def an_account() -> Iterator[AccountHarness]:
    """Give the account, with nothing of it left behind."""
    with mock_aws(), pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        for name, value in _environment().items():
            environment.setenv(name, value)
        _forget()
        yield AccountHarness()
        _forget()


def handler(route: str) -> Entry:
    """The Lambda's entry that serves ``route``, its answers held against what it states."""
    operation = PUBLIC_ROUTES[route] if route in PUBLIC_ROUTES else ROUTES[route].operation
    module = importlib.import_module(modules()[operation])
    return held(module.handler, route)


def _forget() -> None:
    vars(ENVIRONMENT).clear()
    clients.client.cache_clear()
    clients.iot_data.cache_clear()
    clients.s3_signer.cache_clear()


def _make_resources(dynamodb: Any) -> None:
    wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    for name, resource in template()["Resources"].items():
        described = resource.get("Properties", {})
        if resource["Type"] == "AWS::DynamoDB::Table":
            dynamodb.create_table(
                TableName=name, **{member: described[member] for member in wanted if member in described}
            )
    boto3.client("sqs", region_name=REGION).create_queue(QueueName=QUEUE)
    boto3.client("ecr", region_name=REGION).create_repository(repositoryName="fleetgrass/web")
    iot = boto3.client("iot", region_name=REGION)
    for group in GROUPS:
        iot.create_thing_group(thingGroupName=group)
    boto3.client("s3", region_name=REGION).create_bucket(
        Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION}
    )


def _environment() -> dict[str, str]:
    """Every variable that the template gives a function; a table is called as its resource is."""
    parameters = template()["Parameters"]
    found: dict[str, str] = {}
    for resource in template()["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            variables = resource["Properties"].get("Environment", {}).get("Variables", {})
            for name, value in variables.items():
                said = value.get("Ref", json.dumps(value)) if isinstance(value, dict) else value
                found[name] = str(parameters.get(said, {}).get("Default", said))
    broker = f"https://data.iot.{REGION}.amazonaws.com"  # where moto listens for publishes
    queue = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{QUEUE}"
    found |= {"GROUP_REBOOT_QUEUE_URL": queue}
    return found | {"BUCKET": "bucket", "AWS_ENDPOINT_URL_IOT_DATA_PLANE": broker}
