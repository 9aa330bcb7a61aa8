"""A warm handler without what AWS takes for its calls, beside one GetItem of boto3 that nobody has to answer.

The handlers are as they are deployed, over the account in memory. A round is the median of its calls, which
leaves out those that another process came between.
"""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from statistics import median
from typing import Any
from unittest.mock import patch

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto.core.models import botocore_stubber
from urllib3 import HTTPResponse

from bench.calling import Account, Calls, account
from bench.rows import Machine, Row, Target, judge
from bench.sides import BenchFailed

_PER_ROUND = 40
_RATIO = 0.15
#: What devices and consoles ask for all day.
_ROUTES: Mapping[str, str] = {
    "get-device": "GET /devices/{device}",
    "list-devices": "GET /devices",
    "explain-device": "GET /devices/{device}/why",
    "get-device-history": "GET /devices/{device}/history",
    "get-command": "GET /devices/{device}/commands/{command}",
    "list-commands": "GET /devices/{device}/commands",
    "get-deployment": "GET /deployments/{deployment}",
    "list-deployments": "GET /deployments",
    "list-groups": "GET /groups",
    "list-images": "GET /images",
    "get-image": "GET /images/{repository}",
    "reboot-device": "POST /devices/{device}/reboot",
}
_REPORT = "record-report"

#: The rows, one for each of these Lambdas.
WARM = tuple(f"warm-{name}" for name in (_REPORT, *_ROUTES))


def answering(ids: Sequence[str], rounds: int) -> list[Row]:
    """Return those rows of ``WARM``."""
    get_item = _get_item()
    with account() as here:
        gc.freeze()  # the account's own weight is nothing to look through for garbage, on neither side
        try:
            return [_row(row, here, get_item, rounds) for row in ids]
        finally:
            gc.unfreeze()


def _row(row: str, here: Account, get_item: Callable[[], int], rounds: int) -> Row:
    name = row.removeprefix("warm-")
    call = (
        here.reports((rounds + 1) * _PER_ROUND, since=1) if name == _REPORT else here.request(_ROUTES[name])
    )
    ours, reference = [], []
    for number in range(rounds + 1):
        theirs_us = _each_us(get_item, Calls())
        here.calls.clear()
        ours_us = _each_us(call, here.calls)
        if number:
            reference.append(theirs_us)
            ours.append(ours_us)
    counts = {"aws_calls": len(here.calls.names) // _PER_ROUND}
    target = Target(row, "answer one request", "get_item against a stub", _RATIO, "µs")
    return judge(target, ours, reference, counts, Machine.without_engine())


def _each_us(call: Callable[[], int], calls: Calls) -> float:
    """Return what ``call`` takes without ``calls``, in the median."""
    took = []
    for _ in range(_PER_ROUND):
        calls.seconds = 0.0
        began = time.perf_counter()
        status = call()
        took.append(time.perf_counter() - began - calls.seconds)
        if status >= 400:
            raise BenchFailed(f"answered {status}")
    return median(took) * 1e6


def _get_item() -> Callable[[], int]:
    """Return a call of boto3 that is answered where it would have left the process."""
    client = boto3.client(
        "dynamodb",
        region_name="eu-west-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",  # noqa: S106
    )

    def answer(request: Any, **_: object) -> AWSResponse:
        body = BytesIO(b'{"Item":{"device":{"S":"robot-7"},"group":{"S":"line-3"},"sequence":{"N":"7"}}}')
        headers = HTTPHeaders.from_dict({"content-type": "application/x-amz-json-1.0"})
        return AWSResponse(request.url, 200, headers, HTTPResponse(body, preload_content=False))

    client.meta.events.register("before-send.dynamodb.GetItem", answer)

    def get_item() -> int:
        with patch.object(botocore_stubber, "enabled", False):  # moto would have its own look at the request
            found = client.get_item(
                TableName="devices", Key={"device": {"S": "robot-7"}}, ConsistentRead=True
            )
        return int(found["ResponseMetadata"]["HTTPStatusCode"])

    return get_item
