"""Sweep: every duty is done, whatever becomes of the others."""

import json

import pytest

from cloud.aws.errors import Unavailable
from cloud.functions.sweep import sweep


def test_a_duty_that_fails_stops_no_other_and_is_counted(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def fails() -> int:
        raise Unavailable("throttled")

    def works() -> int:
        done.append("works")
        return 3

    assert sweep({"first": fails, "second": works}) == {"first": None, "second": 3}
    assert done == ["works"]
    assert "duty=first" in caplog.text
    assert json.loads(capsys.readouterr().out)["sweep_failures"] == 1
