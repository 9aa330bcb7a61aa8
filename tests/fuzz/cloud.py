"""The Lambdas' functions, fed with whatever rules, the queue and the gateway may bring."""

import base64
import contextlib
import io
import json
from datetime import UTC, datetime
from typing import Any

from contract import topics
from contract.events import ConnectionEvent
from tests.fuzz.device import Crash
from tests.support.cloud.api import NOW, an_event
from tests.support.cloud.commanding import ORDERS
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB
from tests.support.edge.fakes import THING
from tests.system.cloud import Cloud

REFUSED = "$aws/events/presence/connect_failed/"
CONNECTIONS = [
    topics.connection(THING),
    *(f"$aws/events/presence/{kind}/{THING}" for kind in ("connected", "disconnected", "connect_failed")),
]
QUEUED = [topics.report(THING), *(topics.command_result(THING, name) for name in ("reboot", "report-now"))]
TOPICS = [*CONNECTIONS, *QUEUED]
KEPT = 150
_MARK = '"malformed_messages":'


class Lambdas:
    """The functions over a table that is emptied now and then."""

    def __init__(self) -> None:
        self.inputs = 0
        self._begin()

    def _begin(self) -> None:
        self._cloud = Cloud(MemoryDynamoDB(), lambda: NOW, lambda topic, payload: None)
        self._fed = 0

    def feed(self, topic: str, payload: bytes, received_ms: int = 1_795_000_000_000) -> None:
        """Have the function of a topic take a message as its rule gives it.

        Raises:
            Crash: it raised, wants it again, or did not count what is no JSON object.
        """
        encoded = base64.b64encode(payload).decode()
        self.take(topic, {"payload": encoded, "topic": topic, "client": THING, "received_at": received_ms})

    def take(self, topic: str, event: Any) -> None:
        """Have the function of a topic take an event, whatever it is."""
        self._count()
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                if topic in QUEUED:
                    self._cloud.hear_report(event)
                else:
                    self._cloud.hear_connection(event)
        except Exception as error:
            raise Crash(f"{type(error).__name__}: {error}") from error
        counted = said.getvalue().count(_MARK)
        if counted > 1 or (counted == 0 and not _may_mean_something(topic, event)):
            raise Crash(f"counted {counted} times")

    def call(self, number: int, changes: dict[str, Any]) -> int:
        """Have an operation take a gateway's event with some of its members changed; return its status."""
        self._count()
        route = ORDERS[number % len(ORDERS)]
        event = an_event(route.key, path={"device": THING, "app": "web"}, body={"reason": "x"})
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                status: int = self._cloud.answer(route, event | changes)["statusCode"]
        except Exception as error:
            raise Crash(f"{type(error).__name__}: {error}") from error
        if (
            status >= 500 and changes.keys() <= {"body"} and isinstance(changes.get("body", ""), str)
        ):  # the gateway makes the rest of an event
            raise Crash(f"{route.key} answered {status}")
        return status

    def end(self) -> None:
        """See that a device which sends what it should is still heard."""
        hello = ConnectionEvent(
            event="hello", at=NOW, epoch="fresh", sequence=0, boot_id="b", agent_version="1", interval_s=60
        )
        at_ms = int(datetime(9998, 1, 1, tzinfo=UTC).timestamp() * 1000)  # later than all that was made up
        encoded = base64.b64encode(hello.to_json()).decode()
        self._cloud.hear_connection(
            {"payload": encoded, "topic": topics.connection(THING), "client": THING, "received_at": at_ms}
        )
        if self._cloud.device().epoch != "fresh":
            raise Crash("a valid hello is not heard any more")
        self._begin()

    def _count(self) -> None:
        if self._fed >= KEPT:
            self.end()
        self._fed += 1
        self.inputs += 1


def _may_mean_something(topic: str, event: Any) -> bool:
    """Return whether a function may take an event for a message, or need not look at it at all."""
    try:
        if topic.startswith(REFUSED) and event["topic"] == topic:
            return True
        return isinstance(json.loads(base64.b64decode(event["payload"], validate=True)), dict)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
