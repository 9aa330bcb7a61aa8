"""Metrics behind the alarms, as lines of Embedded Metric Format on standard output: no call.

Each metric costs money, so one is here only when an operator acts on its alarm; docs/operations.md says how.
Source of the format: CloudWatch user guide, "Specification: Embedded metric format".
"""

import json
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum

from cloud.environment import ENVIRONMENT

NAMESPACE = "fleetgrass"
#: Tells stacks in one account apart. Which function it was is a member of the line, and costs nothing.
STACK = "stack"


class Metric(StrEnum):
    """Everything that is counted or measured; what ends in ``_ms`` is a time."""

    AGENTS_LOST = "agents_lost"
    AUDIT_ENTRIES_NOT_KEPT = "audit_entries_not_kept"
    AUTHORIZER_REFUSALS = "authorizer_refusals"
    COMMANDS_NO_ANSWER = "commands_no_answer"
    COMMANDS_NO_PROOF = "commands_no_proof"
    DEPLOYMENTS_FAILED = "deployments_failed"
    GROUP_REBOOTS_STOPPED = "group_reboots_stopped"
    INGESTION_AGE_MS = "ingestion_age_ms"
    KEY_SETS_UNAVAILABLE = "key_sets_unavailable"
    MALFORMED_MESSAGES = "malformed_messages"
    MESSAGES_OF_UNENROLLED_DEVICES = "messages_of_unenrolled_devices"
    SWEEP_FAILURES = "sweep_failures"


#: What a metric is also kept by, each value on its own: few values, all of them ours.
_ALSO_BY: Mapping[Metric, str] = {Metric.AUTHORIZER_REFUSALS: "code"}
_VALUES_MAX = 100  # of one metric in one line


def dimension_sets(metric: Metric) -> list[list[str]]:
    """Return the sets of dimensions that ``metric`` is kept by; an alarm names one of them exactly."""
    also = _ALSO_BY.get(metric)
    return [[STACK]] if also is None else [[STACK], [STACK, also]]


def count(metric: Metric, value: int = 1, **facts: str) -> None:
    """Add ``value``, which may be 0, to ``metric``; ``facts`` are what the line tells beside it."""
    _write(metric, value, "Count", facts)


def measure(metric: Metric, values_ms: Sequence[int]) -> None:
    """Add times to ``metric``, all in one line: CloudWatch makes their number, maximum and percentiles."""
    for start in range(0, len(values_ms), _VALUES_MAX):
        _write(metric, list(values_ms[start : start + _VALUES_MAX]), "Milliseconds", {})


def _write(metric: Metric, value: int | list[int], unit: str, facts: Mapping[str, str]) -> None:
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": dimension_sets(metric),
        "Metrics": [{"Name": metric, "Unit": unit}],
    }
    line = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        STACK: ENVIRONMENT.stack,
        "function": ENVIRONMENT.aws_lambda_function_name,
        **facts,
        metric: value,
    }
    print(json.dumps(line, separators=(",", ":")), flush=True)
