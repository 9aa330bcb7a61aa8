"""An account in memory whose handlers run as they are deployed; what they call is counted and timed."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import boto3

from cloud.functions.events import record_report
from contract import topics
from contract.reports import DesiredStatus
from tests.support.cloud.account import BODIES, GROUPS, AccountHarness, Context, an_account, handler
from tests.support.cloud.api import NOW, an_event
from tests.support.cloud.devices import a_report, a_rule_event, a_status
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB

_IN_PROCESS = frozenset({"generate_presigned_url"})  # what a client does without asking anybody


_CONVERGED = DesiredStatus(state="CONVERGED", revision=1)  # as the account's devices said before


class Calls:
    """What was called since ``clear``, by its name in Python, and the seconds that it took there."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.seconds = 0.0

    def clear(self) -> None:
        """Forget all."""
        self.names.clear()
        self.seconds = 0.0

    def through(self, client: Any) -> Any:
        """Return ``client``, every call of which is counted here."""
        return _Counted(client, self)


class _Counted:
    def __init__(self, client: Any, calls: Calls) -> None:
        self._client, self._calls = client, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found) or name in _IN_PROCESS:
            return found

        def call(*arguments: Any, **request: Any) -> Any:
            began = time.perf_counter()
            self._calls.names.append(name)
            try:
                return found(*arguments, **request)
            finally:
                self._calls.seconds += time.perf_counter() - began

        return call


class _Quick(MemoryDynamoDB):
    """It never fails, so that nobody who asks to be told of a retry is."""

    meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_: None))


class Account:
    """``harness`` is the tests' account; what handlers log is written, to nobody."""

    def __init__(self, harness: AccountHarness, calls: Calls) -> None:
        self.calls = calls
        self._harness = harness

    def request(self, route: str, **query: str) -> Callable[[], int]:
        """Return a call of ``route`` for what is in the first group, which answers with its status."""
        entry, parameters = handler(route), self._harness.parameters[GROUPS[0]]
        path = {part[1:-1]: parameters[part[1:-1]] for part in route.split("/") if part.startswith("{")}
        body = BODIES[route](GROUPS[0]) if route in BODIES else None
        event = an_event(route, path=path, body=body) | {"queryStringParameters": query}
        return lambda: int(entry(event, Context())["statusCode"])

    def reports(self, count: int, *, state: str = "RUNNING", since: int = 0) -> Callable[[], int]:
        """Return what has the first group's device report, ``count`` times at most; 500 is to come again.

        ``since`` is the sequence of its last report before. Who says the same again sends a heartbeat.
        """
        device = self._harness.parameters[GROUPS[0]]["device"]
        later_s = (self._harness.now - NOW).total_seconds()
        bodies = (
            a_rule_event(
                topics.report(device),
                a_report(sequence, a_status("web", state), desired=_CONVERGED).to_json(),
                later_s + (sequence - 1) / 1_000,
            )
            for sequence in range(since + 1, since + 1 + count)
        )
        events = iter([{"Records": [{"messageId": "1", "body": json.dumps(body)}]} for body in bodies])

        def report() -> int:
            again = record_report.handler(next(events), Context())["batchItemFailures"]
            return 500 if again else 200

        return report


@contextmanager
def account() -> Iterator[Account]:
    """Have the account; its DynamoDB is quick, and its other services are moto's."""
    calls, made, dynamodb = Calls(), boto3.client, _Quick()

    def counted(service: str, *arguments: Any, **settings: Any) -> Any:
        return calls.through(dynamodb if service == "dynamodb" else made(service, *arguments, **settings))  # type: ignore[call-overload]

    with ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(patch.object(boto3, "client", counted))
        harness = stack.enter_context(an_account())
        written = logging.StreamHandler(nowhere)
        logging.getLogger().addHandler(written)
        stack.callback(logging.getLogger().removeHandler, written)
        stack.enter_context(redirect_stdout(nowhere))
        yield Account(harness, calls)
