"""Counts for CloudWatch: one line of Embedded Metric Format on standard output, no call.

Source of the format: CloudWatch user guide, "Specification: Embedded metric format".
"""

import json
import time

NAMESPACE = "fleetgrass"


def count(metric: str, function: str, *, value: int = 1) -> None:
    """Add ``value`` to ``metric`` of ``function`` (its kebab-name)."""
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["function"]],
        "Metrics": [{"Name": metric, "Unit": "Count"}],
    }
    line = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        "function": function,
        metric: value,
    }
    print(json.dumps(line, separators=(",", ":")), flush=True)
