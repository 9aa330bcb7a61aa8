"""An alarm watches what is really written, and somebody is told what to do."""

import ast
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cloud.telemetry.metrics import NAMESPACE, Metric, count, measure
from cloud.tooling.template import Alarm
from tests.support.cloud.emf import lines
from tests.support.cloud.template import template

ROOT = Path(__file__).parents[3]
RESOURCES: dict[str, Any] = template()["Resources"]
#: AWS's own: the dimension, the type of what it names, and how the template must name it.
OF_AWS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): ("QueueName", "AWS::SQS::Queue"),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): ("QueueName", "AWS::SQS::Queue"),
    ("AWS/Lambda", "Errors"): ("FunctionName", "AWS::Lambda::Function"),
    ("AWS/Lambda", "AsyncEventAge"): ("FunctionName", "AWS::Lambda::Function"),
    ("AWS/ApiGateway", "5xx"): ("ApiId", "AWS::ApiGatewayV2::Api"),
}
NOT_ALARMED = {"authorizer_refusals"}  # it explains requests_refused


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: each["Properties"] for name, each in RESOURCES.items() if each["Type"] == kind}


ALARMS = of_type("AWS::CloudWatch::Alarm")
OURS = {name: alarm for name, alarm in ALARMS.items() if alarm["Namespace"] == NAMESPACE}
(FILTER,) = of_type("AWS::Logs::MetricFilter").values()


def dimension_sets(found: Iterable[Iterable[str]]) -> set[frozenset[str]]:
    return {frozenset(names) for names in found}


def written(capsys: pytest.CaptureFixture[str]) -> dict[str, set[frozenset[str]]]:
    """Every metric that is kept, with the sets of dimensions that it is kept by."""
    for metric in Metric:
        if metric.endswith("_ms"):
            measure(metric, [1])
        else:
            count(metric, code="x")
    directives = [line["_aws"]["CloudWatchMetrics"][0] for line in lines(capsys)]
    found = {d["Metrics"][0]["Name"]: dimension_sets(d["Dimensions"]) for d in directives}
    for transformation in FILTER["MetricTransformations"]:
        keys = [dimension["Key"] for dimension in transformation["Dimensions"]]
        found[transformation["MetricName"]] = dimension_sets([keys])
    return found


def test_an_alarm_of_ours_names_a_metric_and_exactly_the_dimensions_that_it_is_written_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = written(capsys)

    assert {alarm["MetricName"] for alarm in OURS.values()} == metrics.keys() - NOT_ALARMED
    for alarm in OURS.values():
        assert frozenset(each["Name"] for each in alarm["Dimensions"]) in metrics[alarm["MetricName"]]
        assert {"Name": "stack", "Value": {"Ref": "AWS::StackName"}} in alarm["Dimensions"]


def test_what_is_counted_is_summed_and_a_time_is_not() -> None:
    for name, alarm in OURS.items():
        timed = alarm["MetricName"].endswith("_ms")
        assert alarm.get("Statistic") == (None if timed else "Sum"), name
        assert ("ExtendedStatistic" in alarm) == timed, name


def test_every_metric_is_written_by_somebody() -> None:
    used = {
        node.attr
        for path in (ROOT / "cloud").rglob("*.py")
        if path.name != "metrics.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Metric"
    }
    assert used == {metric.name for metric in Metric}


def test_an_alarm_on_a_number_of_aws_watches_a_resource_of_the_stack() -> None:
    for name, alarm in ALARMS.items():
        if name in OURS:
            continue
        dimension, kind = OF_AWS[alarm["Namespace"], alarm["MetricName"]]
        (watched,) = alarm["Dimensions"]
        value = watched["Value"]
        logical = value["Ref"] if "Ref" in value else value["Fn::GetAtt"].removesuffix(".QueueName")
        assert watched["Name"] == dimension, name
        assert RESOURCES[logical]["Type"] == kind, name
        assert "Statistic" in alarm, name
        assert ("Ref" in value) == (dimension != "QueueName"), name  # a queue's Ref is its URL


def test_every_queue_is_watched_and_the_tries_of_one_message_are_no_alarm() -> None:
    watched = {
        (alarm["Dimensions"][0]["Value"]["Fn::GetAtt"].removesuffix(".QueueName"), alarm["MetricName"]): alarm
        for alarm in ALARMS.values()
        if alarm["Namespace"] == "AWS/SQS"
    }
    queues = of_type("AWS::SQS::Queue")
    ages = dict.fromkeys(queues.keys() - {"DeadLetterQueue"}, "ApproximateAgeOfOldestMessage")
    assert watched.keys() == ages.items() | {("DeadLetterQueue", "ApproximateNumberOfMessagesVisible")}
    for queue, metric in ages.items():
        # After three tries a message is not the oldest any more (SQS guide, CloudWatch metrics).
        assert watched[queue, metric]["Threshold"] > 3 * queues[queue]["VisibilityTimeout"]
    assert watched["DeadLetterQueue", "ApproximateNumberOfMessagesVisible"]["Threshold"] == 0


def test_every_alarm_notifies_the_topic_when_there_is_one_and_when_it_is_over_too() -> None:
    notified = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]}

    for name, alarm in ALARMS.items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == notified, name
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert template()["Parameters"]["AlarmTopic"]["Default"] == ""
    assert template()["Conditions"]["HasAlarmTopic"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmTopic"}, ""]}]
    }


@pytest.mark.parametrize(
    ("topic", "taken"),
    [
        ("", True),
        ("arn:aws:sns:eu-central-1:123456789012:fleet-alarms", True),
        ("arn:aws-cn:sns:cn-north-1:123456789012:a_b", True),
        ("fleet-alarms", False),
        ("arn:aws:sqs:eu-central-1:123456789012:fleet-alarms", False),
    ],
)
def test_what_is_no_topic_is_refused_before_anything_is_made(topic: str, taken: bool) -> None:
    assert (
        re.fullmatch(template()["Parameters"]["AlarmTopic"]["AllowedPattern"], topic) is not None
    ) is taken


def test_only_the_sweep_must_be_heard_of() -> None:
    breaching = {name for name, alarm in ALARMS.items() if alarm["TreatMissingData"] == "breaching"}

    assert breaching == {"SweepAlarm"}
    (every,) = of_type("AWS::Events::Rule").values()
    assert every["ScheduleExpression"] == "rate(1 minute)"  # five in a period of the alarm
    assert (ALARMS["SweepAlarm"]["Period"], ALARMS["SweepAlarm"]["Threshold"]) == (300, 2)


def test_operations_say_of_every_metric_and_alarm_what_to_do() -> None:
    rows = re.findall(
        r"^\| `([^`]+)` \| (?:`(\w+)`|–) \| (.+) \| (.+) \|$", (ROOT / "docs/operations.md").read_text(), re.M
    )
    told = [(metric, alarm) for metric, alarm, when, what in rows if when and what]
    watched = [
        (
            alarm["MetricName"] if name in OURS else f"{alarm['Namespace']} {alarm['MetricName']}",
            name,
        )
        for name, alarm in ALARMS.items()
    ]
    assert sorted(told) == sorted([*watched, *((metric, "") for metric in NOT_ALARMED)])


@pytest.mark.parametrize(
    "wrong", [{"Treshold": 1}, {"TreatMissingData": "missing"}, {"Period": 90}, {"Statistic": "sum"}]
)
def test_an_alarm_that_could_never_go_off_is_refused(wrong: dict[str, object]) -> None:
    good = {
        "AlarmDescription": "x", "MetricName": "m", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 0, "TreatMissingData": "notBreaching",
    }  # fmt: skip
    Alarm.model_validate(good)
    with pytest.raises(ValidationError):
        Alarm.model_validate(good | wrong)


def access_log() -> dict[str, str]:
    """A line's members, with the gateway's variables."""
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    line: dict[str, str] = json.loads(stage["AccessLogSettings"]["Format"]["Fn::Sub"])
    return line


def test_the_access_log_says_who_was_refused_where_and_why() -> None:
    line = access_log()

    assert line["stack"] == "${AWS::StackName}"
    assert {
        name: line[name] for name in ("authorizer_error", "status", "source_ip", "route", "request_id")
    } == {
        "authorizer_error": "$context.authorizer.error",
        "status": "$context.status",
        "source_ip": "$context.identity.sourceIp",
        "route": "$context.routeKey",
        "request_id": "$context.requestId",
    }
    assert line["integration_status"] == "$context.integration.status"
    assert all(value.startswith("$context.") for name, value in line.items() if name != "stack")
    assert "\n" not in json.dumps(line)


@pytest.mark.parametrize(
    ("status", "integration_status", "counted"),
    [
        ("401", "-", True),  # no token: the authorizer is not asked
        ("403", "-", True),  # the authorizer, or what the gateway remembers of it
        ("429", "-", True),  # throttled
        ("403", "403", False),  # an operation: in the audit
        ("401", "401", False),
        ("500", "-", False),  # the authorizer could not decide
        ("404", "-", False),  # no such route
        ("200", "200", False),
    ],
)
def test_a_refusal_is_counted_when_no_function_made_it(
    status: str, integration_status: str, counted: bool
) -> None:
    pattern = FILTER["FilterPattern"]
    entry = {**access_log(), "status": status, "integration_status": integration_status}
    selector = r'\$\.(\w+) = "([^"]*)"'
    assert {name for name, _ in re.findall(selector, pattern)} == {"status", "integration_status"}
    formula = re.sub(selector, lambda found: str(entry[found[1]] == found[2]), pattern.strip("{} "))
    formula = formula.replace("||", "or").replace("&&", "and")
    assert re.fullmatch(r"(True|False|and|or|[() ])*", formula)

    assert eval(formula) is counted  # noqa: S307 - of the four words above
    (transformation,) = FILTER["MetricTransformations"]
    assert (transformation["MetricNamespace"], transformation["MetricValue"]) == (NAMESPACE, "1")
    assert [each["Value"] for each in transformation["Dimensions"]] == ["$.stack"]
