"""The cloud's rows, small: what they count is counted here on every change."""

import pytest

from bench.calls import count
from bench.handlers import IMPORTS, importing
from bench.warm import WARM, answering
from cloud.auth.routes import ROUTES


def test_a_heartbeat_a_change_a_device_and_a_page_make_as_few_calls_as_they_may() -> None:
    row = count()

    assert row.ok, row.counts


def test_a_warm_heartbeat_is_one_call_and_a_device_one_more_for_what_it_is_to_have() -> None:
    wanted = ["warm-record-report", "warm-get-device", "warm-list-devices"]
    assert set(wanted) <= set(WARM)

    rows = answering(wanted, rounds=1)

    assert [(row.id, row.counts) for row in rows] == [
        (wanted[0], {"aws_calls": 1}),
        (wanted[1], {"aws_calls": 2}),
        (wanted[2], {"aws_calls": 4}),
    ]


def test_every_operation_has_a_row_for_its_cold_start() -> None:
    assert {f"import-{route.operation}" for route in ROUTES.values()} <= set(IMPORTS)
    assert not {"import-authorize", "import-health"} & set(IMPORTS)


@pytest.mark.slow
def test_no_handler_brings_what_describes_the_api() -> None:
    rows = importing(["import-record-report", "import-create-deployment"], rounds=1)

    assert [row.counts for row in rows] == [{"openapi_modules": 0}] * 2
