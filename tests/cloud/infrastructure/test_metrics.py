"""Lines of Embedded Metric Format, held against the specification's shape."""

import pytest

from cloud.telemetry.metrics import NAMESPACE, Metric, count, dimension_sets, measure
from tests.support.cloud.emf import assert_emf, lines


@pytest.mark.parametrize("metric", Metric)
def test_a_metric_is_one_line_that_cloudwatch_understands(
    metric: Metric, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACK", "fleet-a")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "fleet-a-sweep")
    if metric.endswith("_ms"):
        measure(metric, [3, 5])
    else:
        count(metric, code="some-code")

    (line,) = lines(capsys)
    assert_emf(line)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == NAMESPACE
    assert directive["Dimensions"] == dimension_sets(metric)
    assert (line["stack"], line["function"]) == ("fleet-a", "fleet-a-sweep")
    assert line[metric] == ([3, 5] if metric.endswith("_ms") else 1)


def test_nothing_measured_is_no_line_and_more_than_a_line_holds_is_two(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measure(Metric.INGESTION_AGE_MS, [])
    assert lines(capsys) == []

    measure(Metric.INGESTION_AGE_MS, list(range(101)))
    first, second = lines(capsys)
    assert_emf(first)
    assert_emf(second)
    assert first["ingestion_age_ms"] + second["ingestion_age_ms"] == list(range(101))


def test_none_is_a_count_too(capsys: pytest.CaptureFixture[str]) -> None:
    count(Metric.SWEEP_FAILURES, 0)
    (line,) = lines(capsys)
    assert_emf(line)
    assert line["sweep_failures"] == 0
