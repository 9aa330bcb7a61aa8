"""Nothing of the caller's AWS (a sourced local/.env, a profile, a region) reaches these tests."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from cloud.domain.audit_chain import Event
from cloud.http import audit_recorder
from cloud.tables.commands import Commands
from tests.support.cloud.api import COMMANDS, empty, with_tables
from tests.support.cloud.commanding import Api
from tests.support.cloud.devices import dynamodb_in_memory
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB
from tests.support.cloud.tokens import Today

for _name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[_name]
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


@pytest.fixture(autouse=True)
def audited(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What the handlers of a test put into the audit."""
    remembered: list[Event] = []
    monkeypatch.setattr(audit_recorder, "audit", lambda: remembered)
    return remembered


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens are judged at NOW."""
    monkeypatch.setattr("jwt.api_jwt.datetime", Today)


@pytest.fixture(scope="module", params=["dictionaries", pytest.param("moto", marks=pytest.mark.slow)])
def dynamodb(request: pytest.FixtureRequest) -> Iterator[Any]:
    """DynamoDB's client with no table: one that is fast, and among the long tests moto, as a check on it."""
    if request.param == "dictionaries":
        yield MemoryDynamoDB()
    else:
        with dynamodb_in_memory() as client:
            yield client


@pytest.fixture(scope="module")
def table(dynamodb: Any) -> Any:
    """The same, with the tables of commands and deployments."""
    return with_tables(dynamodb)


@pytest.fixture
def api(table: Any) -> Api:
    """Every operation on commands, on an empty ledger."""
    empty(table, COMMANDS)
    return Api(table, Commands(table, COMMANDS))
