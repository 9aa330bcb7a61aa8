"""Sweep: every duty is done, whatever becomes of the others."""

import logging

import pytest

from cloud.aws.errors import Unavailable
from cloud.functions.events.sweep import sweep
from tests.support.cloud.emf import emitted


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
    assert "task=first" in caplog.text
    assert emitted(capsys) == {"sweep_failures": [1]}


def test_a_sweep_that_did_everything_says_so_too_so_that_one_that_never_ends_is_missed(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)

    sweep({"commands": lambda: 2, "deployments": lambda: 0})

    assert caplog.messages == ["swept: commands=2 deployments=0"]
    assert emitted(capsys) == {"sweep_failures": [0]}
