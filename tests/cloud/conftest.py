"""Nothing of the caller's AWS (a sourced local/.env, a profile, a region) reaches these tests.

How long an example takes says how busy the machine is, and nothing of our code.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from cloud import auditing
from cloud.audit import Event
from cloud.tables.commands import Commands
from tests.cloud.api import COMMANDS, empty, tables_in_memory
from tests.cloud.commanding import Api
from tests.cloud.tokens import Today

for _name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[_name]
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

settings.register_profile("busy-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy-machine")


@pytest.fixture(autouse=True)
def audited(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What the handlers of a test put into the audit."""
    remembered: list[Event] = []
    monkeypatch.setattr(auditing, "_audit", lambda: remembered)
    return remembered


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens are judged at NOW."""
    monkeypatch.setattr("jwt.api_jwt.datetime", Today)


@pytest.fixture(scope="module")
def table() -> Iterator[Any]:
    """DynamoDB in memory, with the tables of commands and deployments."""
    with tables_in_memory() as dynamodb:
        yield dynamodb


@pytest.fixture
def api(table: Any) -> Api:
    """Every operation on commands, on an empty ledger."""
    empty(table, COMMANDS)
    return Api(table, Commands(table, COMMANDS))
