"""Metrics that a test's code wrote for CloudWatch, checked against the specification's shape."""

import json
from collections import defaultdict
from typing import Any

import pytest


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def assert_emf(line: dict[str, Any]) -> None:
    """The rules of "Specification: Embedded metric format" (CloudWatch user guide)."""
    assert line["_aws"].keys() == {"Timestamp", "CloudWatchMetrics"}
    assert isinstance(line["_aws"]["Timestamp"], int)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
    assert 1 <= len(directive["Namespace"]) <= 255
    assert directive["Dimensions"]
    for dimensions in directive["Dimensions"]:
        assert len(dimensions) <= 30
        for name in dimensions:
            assert isinstance(line[name], str)
            assert 1 <= len(line[name]) <= 1024
            assert line[name].isascii()
    for metric in directive["Metrics"]:
        assert metric.keys() == {"Name", "Unit"}
        assert metric["Unit"] in ("Count", "Milliseconds")
        values = line[metric["Name"]]
        values = values if isinstance(values, list) else [values]
        assert 1 <= len(values) <= 100
        assert all(type(value) is int for value in values)


def emitted(capsys: pytest.CaptureFixture[str]) -> dict[str, list[int]]:
    """Every metric's values so far, in order."""
    found: dict[str, list[int]] = defaultdict(list)
    for line in lines(capsys):
        assert_emf(line)
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]:
            value = line[metric["Name"]]
            found[metric["Name"]] += value if isinstance(value, list) else [value]
    return dict(found)
