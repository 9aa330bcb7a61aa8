"""How many calls of DynamoDB a heartbeat, a change, and what operators look at cost, as it is deployed."""

from collections.abc import Callable

from bench.calling import Account, account
from bench.rows import Machine, Row, Target, judge
from bench.sides import BenchFailed
from cloud.domain.devices.device_index import SHARDS

_EXACTLY = {
    "unchanged_report": 1,
    "changed_report": 2,  # a refused write that says what was there, and one that holds
    "transactions_of_it": 1,  # where it makes a point of the history, too
    "device": 1 + 1,  # and what its group is to have, where the device says CONVERGED
    "page": 1 + 1 + 2,  # a query of the index, a read of the rows, and what each of two groups is to have
    # Each part of the index: the connected, and who was until a moment ago; the rows, and the two groups.
    "page_by_state": 2 * SHARDS + 1 + 2,
}
_TARGET = Target("dynamodb-calls", "calls of DynamoDB", "as many as are allowed", 1.0, "calls", _EXACTLY)
_NEXT_SPAN = 1_000_000  # a sequence so much later that its report is in another span of the history


def count() -> Row:
    """Return the calls of each; nothing is timed, and one round is enough."""
    with account() as here:
        unchanged = _called(here, here.reports(1, since=1))
        changed = _called(here, here.reports(1, state="FAILED", since=_NEXT_SPAN))
        counts = {
            "unchanged_report": len(unchanged),
            "changed_report": len(changed),
            "transactions_of_it": changed.count("transact_write_items"),
            "device": len(_called(here, here.request("GET /devices/{device}"))),
            "page": len(_called(here, here.request("GET /devices"))),
            "page_by_state": len(_called(here, here.request("GET /devices", state="online"))),
        }
    return judge(_TARGET, [sum(counts.values())], [sum(_EXACTLY.values())], counts, Machine.without_engine())


def _called(here: Account, call: Callable[[], int]) -> list[str]:
    """Return what ``call``, which must go well, called."""
    here.calls.clear()
    status = call()
    if status != 200:
        raise BenchFailed(f"answered {status}")
    return list(here.calls.names)
