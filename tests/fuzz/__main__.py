"""``python -m tests.fuzz [inputs]``: poison on every inbound topic, on the device and in the Lambdas.

Hypothesis changes the golden messages; atheris, guided by coverage, does what it likes. The last line is
``inputs: N, crashes: 0``; where something crashed, each finding comes with its input in hex instead,
and the exit status is 1.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz import cloud, device, guided
from tests.fuzz.device import Crash
from tests.fuzz.inputs import ODD, odd_objects, payloads, to_text

INPUTS = 12_000
SHOWN = 10
_SETTINGS = settings(
    deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


class Findings:
    """Runs what may crash, and goes on."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def of(self, where: str, shown: bytes, call: Callable[[], Any]) -> None:
        try:
            call()
        except Crash as crash:
            self.found.setdefault(f"{where}: {crash}"[:300], shown.hex())


def main(inputs: int = INPUTS) -> int:
    """Return the exit status."""
    logging.getLogger("cloud").addHandler(logging.NullHandler())
    for name in ("cloud", "edge"):
        logging.getLogger(name).propagate = False
    findings, agent, lambdas = Findings(), device.Device(), cloud.Lambdas()
    share = inputs // 6

    @settings(_SETTINGS, max_examples=2 * share)
    @given(st.sampled_from(device.TOPICS), payloads())
    def messages_to_the_device(topic: str, payload: bytes) -> None:
        findings.of(topic, payload, lambda: agent.feed(topic, payload))

    @settings(_SETTINGS, max_examples=share // 4)
    @given(odd_objects(golden=_CONFIGURATION), payloads())
    def configurations(values: Any, document: bytes) -> None:
        values = values if isinstance(values, dict) else {"desired": values}
        shown = to_text(values).encode() + b"\n" + document
        findings.of("configuration", shown, lambda: agent.configure(values, document))

    @settings(_SETTINGS, max_examples=2 * share)
    @given(st.sampled_from(cloud.TOPICS), payloads(), st.integers(0, 4_000_000_000_000))
    def messages_to_the_cloud(topic: str, payload: bytes, at_ms: int) -> None:
        findings.of(topic, payload, lambda: lambdas.feed(topic, payload, at_ms))

    @settings(_SETTINGS, max_examples=share // 2)
    @given(st.sampled_from(cloud.TOPICS), odd_objects(golden=_RULE_EVENT))
    def events_of_rules(topic: str, event: Any) -> None:
        findings.of(f"event of {topic}", to_text(event).encode(), lambda: lambdas.take(topic, event))

    @settings(_SETTINGS, max_examples=max(share // 20, 5))
    @given(st.integers(0, 9), st.dictionaries(st.sampled_from(_MEMBERS), st.one_of(ODD, _TEXTS), max_size=3))
    def requests(number: int, changes: dict[str, Any]) -> None:
        findings.of(f"request {number}", to_text(changes).encode(), lambda: lambdas.call(number, changes))

    for poison in (
        messages_to_the_device, configurations, messages_to_the_cloud, events_of_rules, requests
    ):  # fmt: skip
        poison()
        print(f"{poison.__name__}: so far {agent.inputs + lambdas.inputs}", flush=True)
    findings.of("the device, afterwards", b"", agent.end)
    findings.of("the cloud, afterwards", b"", lambdas.end)
    runs = guided.run(inputs // 4, findings.found)
    total = agent.inputs + lambdas.inputs + runs
    for where, shown in list(findings.found.items())[:SHOWN]:
        print(f"{where}\n  {shown}")
    if findings.found or not total:
        print(f"{len(findings.found)} kinds of crashes in {total} inputs", file=sys.stderr)
        return 1
    print(f"inputs: {total}, crashes: 0")
    return 0


_CONFIGURATION: dict[str, Any] = {
    "desired": {"document_uri": "s3://bucket/desired/" + "0" * 64 + ".json"},
    "publish_address": "127.0.0.1",
    "registry_mirrors": {"registry": "host:1"},
    "heartbeat_s": "60",
    "reboot_command": ["reboot"],
    "reboot_budget": 3,
    "healthy_poll_s": 1.0,
    "policy": {},
    "log_level": "INFO",
}
_RULE_EVENT = {
    "payload": "e30=", "topic": cloud.TOPICS[0], "client": "robot-7", "received_at": 1_795_000_000_000
}  # fmt: skip
_MEMBERS = ["body", "isBase64Encoded", "pathParameters", "queryStringParameters", "headers", "requestContext"]
_TEXTS = odd_objects(golden={"reason": "because", "force": True, "expires_in_s": 60}).map(to_text)

if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
