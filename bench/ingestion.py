"""Reports of a fleet of 100 and of one of 10,000: each costs the same, and none is lost.

The code that the queue invokes runs as it is deployed, batch by batch, over a DynamoDB in memory; what that
takes is not in the figures, and the calls are counted. One report in ten is a change, and one changes back.
"""

import json
import os
import random
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from statistics import median
from typing import Any

from bench.calling import Calls
from bench.rows import Machine, Row, Target, judge
from bench.sides import BenchFailed
from cloud.functions.events.record_report import record_batch
from cloud.services.nucleus_registration import GroupNuclei
from cloud.tables.commands import Commands
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.tables.proofs import Proofs
from contract import topics
from contract.reports import DeviceReport
from tests.support.cloud.api import NOW
from tests.support.cloud.devices import a_report, a_rule_event, a_status
from tests.support.cloud.fakes import FakeGroups, FakeQueue
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB, table_of

_SIZES = (100, 10_000)
_REPORTS = 1_000  # at least so many a round, in either fleet
_BATCH = 10  # as the template's event source has it
_CHANGES_EVERY = 10
#: A heartbeat is one call, a change two; in a thousand reports are a hundred changes, and a hundred back.
_TARGET = Target(
    "ingestion",
    "a report, in a fleet of 10,000",
    "in a fleet of 100",
    1.1,
    "µs",
    {"lost": 0, "calls_per_1000": 1_200, "calls_per_1000_of_100": 1_200},
)


class _Fleet:
    def __init__(self, size: int) -> None:
        memory, self.calls = MemoryDynamoDB(), Calls()
        tables = [table_of(resource) for resource in ("DevicesTable", "HistoryTable")]
        for described in tables:
            memory.create_table(**described)
        table = self.calls.through(memory)
        self._devices = Devices(table, *(described["TableName"] for described in tables))
        # Nobody has a command or a deployment: their tables need not be there.
        self._commands, self._deployments = Commands(table, "none"), Deployments(table, "none")
        self._proofs = Proofs(table, "none")
        self._groups = GroupNuclei(FakeGroups())
        self._names = [f"robot-{i:05d}" for i in range(size)]
        for name in self._names:
            self._devices.create(name, "line-3", now=NOW)
        self._sequence = 0
        self._order = random.Random(0)  # noqa: S311 - an order, not a secret

    def report(self) -> tuple[int, float]:
        """Have every device report until it is enough; return how many, and the median of their seconds."""
        count, took = 0, []
        while count < _REPORTS:
            self._sequence += 1
            records = self._records()
            self._order.shuffle(records)
            for start in range(0, len(records), _BATCH):
                self.calls.seconds = 0.0
                began = time.perf_counter()
                again = record_batch(
                    records[start : start + _BATCH],
                    devices=self._devices,
                    commands=self._commands,
                    proofs=self._proofs,
                    deployments=self._deployments,
                    group_reboots=FakeQueue(),
                    groups=self._groups,
                )
                took.append((time.perf_counter() - began - self.calls.seconds) / _BATCH)
                if again:
                    raise BenchFailed(f"reports that must come again: {again}")
            count += len(records)
        return count, median(took)

    def lost(self) -> int:
        """Return how many devices' last report is not in their rows."""
        rows = (self._devices.get(name) for name in self._names)
        return sum(row is None or row.sequence != self._sequence for row in rows)

    def _records(self) -> list[Mapping[str, Any]]:
        """Return the queue's records of everybody's next report."""
        said = {changed: self._said(changed=changed) for changed in (False, True)}
        return [
            {"messageId": name, "body": json.dumps(said[changed] | {"topic": topics.report(name)})}
            for i, name in enumerate(self._names)
            for changed in [(i + self._sequence) % _CHANGES_EVERY == 0]
        ]

    def _said(self, *, changed: bool) -> dict[str, Any]:
        report: DeviceReport = a_report(
            self._sequence,
            a_status("web", "FAILED" if changed else "RUNNING"),
            *(a_status(f"app-{i}", cpu_percent=float(self._sequence)) for i in range(3)),
        )
        return a_rule_event("", report.to_json(), self._sequence)


def ingest(rounds: int) -> Row:
    """Return what a report costs in the large fleet beside the small one."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # where metrics are written
        few, many = (_Fleet(size) for size in _SIZES)
        for fleet in (few, many):
            fleet.report()  # the first is news of everything
            fleet.calls.clear()
        costs: dict[_Fleet, list[float]] = {few: [], many: []}
        reports = dict.fromkeys(costs, 0)
        for _ in range(rounds):
            for fleet, found in costs.items():
                count, seconds = fleet.report()
                reports[fleet] += count
                found.append(seconds * 1e6)
    per_1000 = {fleet: len(fleet.calls.names) * 1_000 // count for fleet, count in reports.items()}
    counts = {
        "reports": sum(reports.values()),
        "lost": few.lost() + many.lost(),
        "calls_per_1000": per_1000[many],
        "calls_per_1000_of_100": per_1000[few],
    }
    return judge(_TARGET, costs[many], costs[few], counts, Machine.without_engine())
