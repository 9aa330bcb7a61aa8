"""The real agent's loop, fed with whatever its topics, its configuration and its bucket may bring."""

import logging
from typing import Any, get_args

from pydantic import ValidationError

from contract import topics
from contract.commands import CommandState, ReportNowCommand, ResultAck, TimeAnswer, name_of, parse_command
from contract.defaults import COMMAND_MAX_BYTES
from edge.events import MessageReceived
from tests.support.edge.fakes import THING, AgentHarness

TOPICS = [topics.command_request(THING, name) for name in get_args(topics.Command)]
KEPT = 150  # messages of one device: less than its ledger remembers


class Crash(Exception):
    """Something failed that nothing from outside may make fail."""


class _Failures(logging.Handler):
    """Notes what the loop caught at its boundary: none of it may come of a message."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


class Device:
    """An agent that is replaced by a new one before it has seen too much."""

    def __init__(self) -> None:
        self.inputs = 0
        self._failures = _Failures()
        logging.getLogger("edge").addHandler(self._failures)
        logging.getLogger("edge").propagate = False
        self._begin()

    def _begin(self) -> None:
        self._harness = AgentHarness(heartbeat_s=60)
        self._harness.start()
        self._fed = self._malformed = 0

    def feed(self, topic: str, payload: bytes) -> None:
        """Deliver a message.

        Raises:
            Crash: it made a part of the loop fail, or was not counted, or valid ones work no longer.
        """
        self._count()
        self._malformed += not _is_valid(topic, payload)
        self._harness.deliver(MessageReceived(topic, payload))
        self._judge()

    def configure(self, values: dict[str, Any], document: bytes) -> None:
        """Give the component another configuration, and the bucket a document that it may name."""
        self._count()
        uri = "s3://bucket/desired/" + "0" * 64 + ".json"
        self._harness.documents[uri] = document
        self._harness.link.values.clear()
        self._harness.configure(**{"desired": {"document_uri": uri}, **values})
        self._judge()

    def end(self) -> None:
        """See that the device is still itself: counts right, takes its configuration and commands."""
        harness = self._harness
        harness.link.values.clear()
        harness.configure(heartbeat_s=60)
        harness.turns(200.0)  # a reboot that was asked for is known not to have been done
        command = harness.an_errand(ReportNowCommand)
        harness.send(command)
        self._judge()
        if harness.states(command)[-1:] != [CommandState.SUCCEEDED]:
            raise Crash(f"a valid command came to {harness.states(command)}")
        report = harness.reports()[-1]
        if report.malformed_messages != self._malformed:
            raise Crash(f"{report.malformed_messages} were counted as malformed, not {self._malformed}")
        if report.desired is None or report.desired.code is not None:
            raise Crash(f"a good configuration is reported as {report.desired}")
        self._begin()

    def _count(self) -> None:
        if self._fed >= KEPT:
            self.end()
        self._fed += 1
        self.inputs += 1

    def _judge(self) -> None:
        found, self._failures.found = self._failures.found, []
        if found:
            self._begin()
            raise Crash(found[0])


def _is_valid(topic: str, payload: bytes) -> bool:
    """Return whether a message says something on its topic, by the contract alone."""
    if len(payload) > COMMAND_MAX_BYTES:
        return False
    try:
        if topic.endswith("/time/req"):
            TimeAnswer.from_json(payload)
            return True
        if topic.endswith("/ack/req"):
            ResultAck.from_json(payload)
            return True
        return topics.command_request(THING, name_of(parse_command(payload))) == topic
    except ValidationError:
        return False
