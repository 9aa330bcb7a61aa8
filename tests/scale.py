"""``make scale``: a page of devices costs the same calls in a fleet of 1,000 and of 100,000.

The emulator's DynamoDB holds the template's table; its rows are as enrolment, presence and reports leave
them. Each list is asked for its first pages; the calls are recorded. Ends with 1 where a call differs.
The milliseconds are the emulator's, which sorts a whole partition for each query, and prove nothing.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import boto3

from cloud.aws.attributes import to_item
from cloud.domain.devices import device_index
from cloud.domain.timestamps import to_ms
from cloud.functions.devices.list_devices import list_devices
from cloud.http.handler import lambda_handler
from cloud.tables.device_lists import DeviceLists
from local.aws.account import ROOT_KEY, LocalAws, client_arguments
from local.process.children import free_ports
from tests.support.cloud.api import NOW, Clock, an_event, body_of
from tests.support.cloud.deployments import deployments_in_memory
from tests.support.cloud.memory_dynamodb import table_of

PAGES = 4  # of each list
DIGESTS = [f"sha256:{letter * 64}" for letter in "ab"]
LISTS: tuple[Mapping[str, str], ...] = (
    {},
    {"group": "line-3"},
    {"prefix": "ROBOT-00"},
    {"image": DIGESTS[0]},
    {"application": "web"},
    {"agent_version": "1.0.0"},
    {"state": "online"},
    {"state": "offline"},
    {"sort": "state-since"},
    {"sort": "state-since", "state": "stale", "group": "line-1", "application": "web"},
)


def rows(size: int) -> Iterator[dict[str, object]]:
    """The rows of ``size`` devices: one in ten offline, one in ten silent, all with one application."""
    now = to_ms(NOW)
    for i in range(size):
        name, digest, offline = f"Robot-{i:06d}", DIGESTS[i % 2], i % 10 == 0
        since = now - 3_600_000 - i % 997  # a prime: whoever shares a time is of every kind
        image = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/fleetgrass/hello@{digest}"
        yield {
            "device": name, "kind": "device", "group": f"line-{i % 5}",
            "folded_name": device_index.folded(name),
            "enrolled_at": since, "connected": not offline, "writes": 1, "epoch": "a", "sequence": 1,
            "offline_since" if offline else "connected_since": since,
            "standing": device_index.partition("disconnected" if offline else "connected", name),
            "standing_since": since, "last_report_at": now - 1000, "reporting_since": since,
            "stale_at": now + (-1 if i % 10 == 1 else 60_000), "interval_s": 60, "agent_version": "1.0.0",
            "applications": {"web": {"sequence": 1, "status": {"state": "RUNNING", "image": image}}},
        }  # fmt: skip
        yield device_index.index_row(device_index.application_key("web"), name)
        yield device_index.index_row(device_index.image_key(digest), name)


def load(dynamodb: Any, table: str, size: int, until: float) -> None:
    """Write the rows in batches.

    Raises:
        SystemExit: they were not written in time.
    """
    source = rows(size)
    while batch := list(islice(source, 25)):
        requests = [{"PutRequest": {"Item": to_item(row)}} for row in batch]
        left: Mapping[str, Any] = {table: requests}
        while left:
            if time.monotonic() > until:
                raise SystemExit(f"scale: {size} devices were not written in time")
            left = dynamodb.batch_write_item(RequestItems=left).get("UnprocessedItems", {})


def pages(dynamodb: Any, table: str, query: Mapping[str, str], calls: list[str]) -> tuple[set[str], float]:
    """Return what each of the first pages called, and how many milliseconds one took, in the median."""
    entry = lambda_handler(
        lambda request: list_devices(
            request, devices=DeviceLists(dynamodb, table), deployments=deployments_in_memory(), clock=Clock()
        ),
        route="GET /devices",
    )
    asked, costs, took = dict(query) | {"limit": "20"}, set[str](), list[float]()
    for _ in range(PAGES):
        calls.clear()
        begun = time.perf_counter()
        answer = entry(an_event("GET /devices") | {"queryStringParameters": asked}, None)
        took.append((time.perf_counter() - begun) * 1000)
        if answer["statusCode"] != 200:
            raise SystemExit(f"scale: {asked}: {answer}")
        costs.add(", ".join(f"{count} {name}" for name, count in sorted(Counter(calls).items())))
        body = body_of(answer)
        if not body["devices"] or body["cursor"] is None:
            raise SystemExit(f"scale: {asked}: a page without devices, or the last one")
        asked["cursor"] = body["cursor"]
    return costs, statistics.median(took)


@contextmanager
def emulator() -> Iterator[Any]:
    """Give DynamoDB of an emulator of our own."""
    with tempfile.TemporaryDirectory() as folder:
        port, mqtt_port, control_plane = free_ports(3)
        aws = LocalAws(
            Path(folder), port=port, mqtt_port=mqtt_port, control_plane=f"http://127.0.0.1:{control_plane}"
        )
        try:
            yield boto3.client("dynamodb", **client_arguments(aws.endpoint_url, ROOT_KEY))  # type: ignore[call-overload]
        finally:
            aws.stop()


def main() -> int:
    """Return 0 where every page of a list made the same calls in each fleet."""
    parser = argparse.ArgumentParser(prog="make scale", description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--within-s", type=float, default=2_400, help="in which the rows must be written")
    options = parser.parse_args()
    different = 0
    with emulator() as dynamodb:
        calls: list[str] = []
        dynamodb.meta.events.register("before-call.dynamodb.*", lambda model, **_: calls.append(model.name))
        tables = {}
        for number, size in enumerate(options.devices):
            described = table_of("DevicesTable", number)
            dynamodb.create_table(**described)
            tables[size] = described["TableName"]
            begun = time.monotonic()
            load(dynamodb, tables[size], size, begun + options.within_s)
            took = timedelta(seconds=round(time.monotonic() - begun))
            print(f"{size:,} devices, {3 * size:,} rows, written in {took}", flush=True)
        for query in LISTS:
            found = {size: pages(dynamodb, table, query, calls) for size, table in tables.items()}
            costs = set[str]().union(*(cost for cost, _ in found.values()))
            different += len(costs) != 1 or "Scan" in str(costs)
            asked = "&".join(f"{name}={value[:12]}" for name, value in query.items()) or "all"
            times = ", ".join(f"{ms:.0f} ms of {size:,}" for size, (_, ms) in found.items())
            print(f"{asked}: {' | '.join(sorted(costs))} ({times})", flush=True)
    print(f"scale: lists: {len(LISTS)}, whose calls grow: {different}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
