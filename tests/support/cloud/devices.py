"""Fixtures of the device tests: their table in memory, messages with defaults, rule events."""

import base64
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cloud.domain.devices.device_messages import DeviceMessage
from cloud.domain.devices.presence import Presence
from cloud.tables.devices import Devices
from cloud.tables.history import History
from contract.events import ConnectionEvent
from contract.reports import ApplicationState, ApplicationStatus, DeviceReport, HostHealth
from tests.support.cloud.api import NOW, REGION, Watched
from tests.support.cloud.template import template

EVENTS = Path(__file__).parent / "events"


def at(seconds: float) -> datetime:
    """NOW and so many seconds."""
    return NOW + timedelta(seconds=seconds)


def a_status(name: str = "web", state: str = "RUNNING", **more: Any) -> ApplicationStatus:
    return ApplicationStatus(name=name, state=ApplicationState(state), **more)


def a_report(
    sequence: int, *statuses: ApplicationStatus, epoch: str = "epoch-a", **more: Any
) -> DeviceReport:
    """A report in one part, with whatever runs."""
    values: dict[str, Any] = {
        "at": at(sequence), "boot_id": "boot-1", "agent_version": "1.0.0", "interval_s": 60.0,
        "host": HostHealth(architecture="amd64", uptime_s=float(sequence), disk_free_bytes=1 << 33),
        "engine": "20.10.24", "application_names": [status.name for status in statuses],
        "applications": list(statuses),
    }  # fmt: skip
    return DeviceReport(epoch=epoch, sequence=sequence, **(values | more))


def a_connection_event(
    sequence: int, event: str = "hello", *, epoch: str = "epoch-a", **more: Any
) -> ConnectionEvent:
    values: dict[str, Any] = {
        "at": at(sequence), "boot_id": "boot-1", "agent_version": "1.0.0", "interval_s": 60.0,
    }  # fmt: skip
    return ConnectionEvent.model_validate(
        {"event": event, "epoch": epoch, "sequence": sequence, **(values | more)}
    )


def news(message: DeviceReport | ConnectionEvent, received: float, device: str = "robot-7") -> DeviceMessage:
    return DeviceMessage(device, message, at(received))


def a_presence(
    connected: bool, version: int = 1, *, session: str = "s1", event: float = 0, **more: Any
) -> Presence:
    values: dict[str, Any] = {"reason": None if connected else "connection-lost", "received_at": at(event)}
    return Presence("robot-7", connected, session, version, event_at=at(event), **(values | more))


def a_rule_event(topic: str, payload: bytes | dict[str, Any], received: float = 0) -> dict[str, Any]:
    """What our rules make of a message."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return {
        "payload": base64.b64encode(raw).decode(),
        "topic": topic,
        "client": "robot-7",
        "received_at": int(at(received).timestamp() * 1000),
    }


def recorded(name: str) -> dict[str, Any]:
    """An event as AWS documents it."""
    value: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return value


class Calls(list[str]):
    """The calls of one table's owners to DynamoDB, by name."""


_tables = itertools.count()


@contextmanager
def dynamodb_in_memory() -> Iterator[Any]:
    """Give DynamoDB's client over moto; making one takes a second, making a table does not."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
    with mock_aws(), pytest.MonkeyPatch.context() as environment:
        for name, value in keys.items():
            environment.setenv(name, value)
        yield boto3.client("dynamodb", region_name=REGION)


def devices_table(dynamodb: Any) -> tuple[Devices, Calls]:
    """Make an empty table as the template describes it; return it and the calls made from now on."""
    table, _, calls = devices_and_history(dynamodb)
    return table, calls


def devices_and_history(dynamodb: Any) -> tuple[Devices, History, Calls]:
    """Make both empty tables as the template describes them; return them and the calls made from now on."""
    wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    number = next(_tables)
    names = {resource: f"{resource}-{number}" for resource in ("DevicesTable", "HistoryTable")}
    for resource, name in names.items():
        described = template()["Resources"][resource]["Properties"]
        dynamodb.create_table(TableName=name, **{key: described[key] for key in wanted if key in described})
    calls = Calls()
    heard = Watched(dynamodb, before=calls.append)
    devices = Devices(heard, names["DevicesTable"], names["HistoryTable"])
    return devices, History(heard, names["HistoryTable"]), calls
