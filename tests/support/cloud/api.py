"""Fixtures of the API's tests: gateway events, tables in memory, a clock to set, a device to reach."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cloud.domain.devices.device import Device
from cloud.tables.devices import Devices
from tests.support.cloud.template import template

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
REGION, ACCOUNT = "eu-west-1", "123456789012"
DEVICES, COMMANDS, DEPLOYMENTS = "devices", "commands", "deployments"
Tell = Callable[[str], None]


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def an_event(
    route: str,
    *,
    path: Mapping[str, str] | None = None,
    body: object = None,
    text: str | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    roles: str = "Fleet.Admin",
    subject: str = "ada",
    issuer: str = "https://id.test",
    exp: int = 4_000_000_000,
) -> dict[str, Any]:
    """An HTTP API event (payload 2.0) as the gateway sends it behind a simple-response authorizer."""
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": route.split()[1],
        "headers": {"Content-Type": "application/json", **(headers or {})},
        "pathParameters": dict(path or {}),
        **({"queryStringParameters": dict(query)} if query else {}),
        "requestContext": {
            "requestId": "request-1",
            "authorizer": {
                "lambda": {
                    "issuer": issuer,
                    "subject": subject,
                    "kind": "user",
                    "roles": roles,
                    "exp": str(exp),
                    "application": "console",
                    "token_id": "token-1",
                }
            },
        },
        "body": text if text is not None else (None if body is None else json.dumps(body)),
        "isBase64Encoded": False,
    }


def body_of(answer: Mapping[str, Any]) -> Any:
    return json.loads(answer["body"])


def a_device(name: str = "robot-7", group: str | None = "line-3", **changes: Any) -> Device:
    """A device that is online at NOW."""
    heard: dict[str, Any] = {
        "connected": True,
        "connected_since": NOW - timedelta(hours=1),
        "last_report_at": NOW - timedelta(seconds=10),
        "stale_at": NOW + timedelta(seconds=170),
        "interval_s": 60.0,
    }
    return Device(name=name, group=group, enrolled_at=NOW - timedelta(days=1), **(heard | changes))


class FakeDevices(Devices):
    """The devices table, whose rows are given as what they mean."""

    def __init__(self, devices: Iterable[Device] = ()) -> None:
        self.rows = {device.name: device for device in devices}

    def get(self, device: str) -> Device | None:
        return self.rows.get(device)

    def in_group(self, group: str) -> list[Device]:
        return [device for device in self.rows.values() if group in device.groups]

    def names_in_group(self, group: str) -> list[str]:
        return [device.name for device in self.in_group(group)]

    def named(self, names: Sequence[str], *, whole: bool = False) -> dict[str, Device]:
        assert len(names) <= 100
        return {name: self.rows[name] for name in names if name in self.rows}


@contextmanager
def tables_in_memory() -> Iterator[Any]:
    """Give DynamoDB's client over moto, with the commands and deployments tables as the template has them."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
    with mock_aws(), pytest.MonkeyPatch.context() as environment:
        for name, value in keys.items():
            environment.setenv(name, value)
        yield with_tables(boto3.client("dynamodb", region_name=REGION))


def empty(dynamodb: Any, table: str) -> None:
    """Remove every row of ``table``."""
    dynamodb.delete_table(TableName=table)
    _make_table(dynamodb, table)


def with_tables(dynamodb: Any) -> Any:
    """Make the tables of commands and deployments; return ``dynamodb``."""
    for name in _LOGICAL:
        _make_table(dynamodb, name)
    return dynamodb


_LOGICAL = {COMMANDS: "CommandsTable", DEPLOYMENTS: "DeploymentsTable"}


def _make_table(dynamodb: Any, name: str) -> None:
    described = template()["Resources"][_LOGICAL[name]]["Properties"]
    wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    dynamodb.create_table(TableName=name, **{key: described[key] for key in wanted})


class Watched:
    """A client that tells of each call, by AWS's name for it, ``before`` it is made and ``after``.

    What either raises is what the caller gets.
    """

    def __init__(self, client: Any, *, before: Tell | None = None, after: Tell | None = None) -> None:
        self._client = client
        self.before = before or _nobody
        self.after = after or _nobody

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        call = getattr(self._client, operation)
        name = "".join(word.title() for word in operation.split("_"))

        def watched(**request: Any) -> Any:
            self.before(name)
            try:
                return call(**request)
            finally:
                self.after(name)

        return watched


def _nobody(call: str) -> None:
    """Tell nobody."""


class OneCallAtATime:
    """A client whose calls are atomic."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)

        def locked(**request: Any) -> Any:
            with self._lock:
                return call(**request)

        return locked
