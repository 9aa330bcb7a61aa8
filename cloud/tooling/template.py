"""Generator of the infrastructure template: ``base.yaml`` word for word, the alarms, the functions.

A function and its route are six resources that differ in a few words; ``functions.yaml`` says those words
in SAM's names, as ``alarms.yaml`` does for alarms in CloudFormation's. The result is committed, so that
whoever reviews a change sees what AWS will be given.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from cloud.telemetry.metrics import NAMESPACE, STACK

CLOUD = Path(__file__).parent.parent
TEMPLATE = CLOUD / "template.yaml"
_BASE = CLOUD / "infrastructure" / "base.yaml"
_ALARMS = CLOUD / "infrastructure" / "alarms.yaml"
_FUNCTIONS = CLOUD / "infrastructure" / "functions.yaml"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z]+(-[a-z]+)*$")]


class TemplateInvalid(Exception):
    """The sources do not make a template."""

    code = "template-invalid"


class Tagged:
    """A CloudFormation function such as ``!Ref`` or ``!Sub``, as YAML wrote it."""

    def __init__(self, tag: str, value: Any) -> None:
        self.tag = tag
        self.value = value


class _Sam(BaseModel):
    """A part of a function in SAM's names, with the properties that are used here and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicyStatement(_Sam):
    """What a function may do, beside writing its own logs."""

    Effect: Literal["Allow"]
    Action: str | list[str]
    Resource: Any
    Condition: Any = None


class InlinePolicy(_Sam):
    """Statements of the function's role."""

    Statement: list[PolicyStatement]


class Variables(_Sam):
    """The environment of a function."""

    Variables: dict[str, Any] = {}


class DeadLetters(_Sam):
    """Where an asynchronous call goes that keeps failing; the function may send to it."""

    Type: Literal["SQS"]
    TargetArn: Any


class Authorization(_Sam):
    """That a route needs no token; every other is behind the API's authorizer, SAM's default authorizer."""

    Authorizer: Literal["NONE"]


class Route(_Sam):
    """A route of the API."""

    Method: Annotated[str, StringConstraints(pattern=r"^[A-Z]+$")]
    Path: Annotated[str, StringConstraints(pattern=r"^/\S+$")]
    Auth: Authorization | None = None

    @property
    def key(self) -> str:
        """The route as the gateway names it."""
        return f"{self.Method} {self.Path}"

    @property
    def public(self) -> bool:
        """Whether it needs no token."""
        return self.Auth is not None


class HttpApiEvent(_Sam):
    """A route that calls the function."""

    Type: Literal["HttpApi"]
    Properties: Route


class Function(_Sam):
    """One entry of ``functions.yaml``: properties of an ``AWS::Serverless::Function``.

    The defaults are ours, as SAM's ``Globals`` would say them.
    """

    Description: str = ""  # of a function without a route
    Timeout: Annotated[int, Field(ge=1, le=900)] = 15
    MemorySize: Annotated[int, Field(ge=128, le=10_240)] = 512
    Environment: Variables = Variables()
    Policies: list[InlinePolicy] = []
    DeadLetterQueue: DeadLetters | None = None
    Events: Annotated[dict[str, HttpApiEvent], Field(max_length=1)] = {}

    @property
    def route(self) -> Route | None:
        """The route that calls it; a function has one at most."""
        return next((event.Properties for event in self.Events.values()), None)

    @property
    def public(self) -> bool:
        """Whether whoever reaches the API may call it."""
        return self.route is not None and self.route.public

    @property
    def audits(self) -> bool:
        """Whether it serves callers: what they change, and what they are refused, goes into the audit."""
        return self.route is not None and not self.public


class Alarm(BaseModel):
    """One entry of ``alarms.yaml``: a metric and its threshold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    AlarmDescription: str
    Namespace: str = NAMESPACE
    MetricName: str
    Dimensions: list[Any] = []  # none on our own metrics: theirs is the stack
    Statistic: Literal["Sum", "Average", "Maximum"] | None = None
    ExtendedStatistic: Literal["p90"] | None = None
    Period: Annotated[int, Field(ge=60, multiple_of=60)]
    EvaluationPeriods: Annotated[int, Field(ge=1)]
    DatapointsToAlarm: Annotated[int, Field(ge=1)] | None = None
    Threshold: Annotated[int, Field(ge=0)]
    TreatMissingData: Literal["breaching", "notBreaching"]


_FUNCTIONS_FILE = TypeAdapter(dict[Name, Function])
_ALARMS_FILE = TypeAdapter(dict[Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z]+Alarm$")], Alarm])
_Entries = TypeVar("_Entries")


class _Loader(yaml.SafeLoader):
    pass


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - a template repeats itself
        return True


def _construct(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Tagged:
    match node:
        case yaml.SequenceNode():
            return Tagged("!" + suffix, loader.construct_sequence(node, deep=True))
        case yaml.MappingNode():
            return Tagged("!" + suffix, loader.construct_mapping(node, deep=True))
        case _:
            return Tagged("!" + suffix, loader.construct_scalar(node))  # type: ignore[arg-type]


def _represent(dumper: yaml.SafeDumper, data: Tagged) -> yaml.Node:
    match data.value:
        case list():
            return dumper.represent_sequence(data.tag, data.value, flow_style=True)
        case dict():
            return dumper.represent_mapping(data.tag, data.value)
        case _:
            return dumper.represent_scalar(data.tag, str(data.value))


_Loader.add_multi_constructor("!", _construct)
_Dumper.add_representer(Tagged, _represent)


def render() -> str:
    """Return the whole template as text.

    Raises:
        TemplateInvalid: ``functions.yaml`` holds what no function has, or ``alarms.yaml`` what no alarm has.
    """
    functions = _read(_FUNCTIONS, _FUNCTIONS_FILE)
    alarms = _read(_ALARMS, _ALARMS_FILE)
    parts = [_BASE.read_text("utf-8")]
    parts += _section("alarms", {name: alarm(each) for name, each in alarms.items()})
    for name, function in sorted(functions.items()):
        parts += _section(name, resources(name, function))
    parts += _section("tracing; its actions take no resource", tracing(sorted(functions)))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _read(path: Path, entries: TypeAdapter[_Entries]) -> _Entries:
    try:
        return entries.validate_python(yaml.load(path.read_text("utf-8"), _Loader))  # noqa: S506
    except (ValidationError, yaml.YAMLError) as error:
        raise TemplateInvalid(f"{path.name}: {error}") from None


def _section(title: str, found: Mapping[str, Any]) -> list[str]:
    text = yaml.dump(found, Dumper=_Dumper, sort_keys=False, width=150)
    indented = "".join(f"  {line}\n" if line else "\n" for line in text.splitlines())
    return [f"  # ---------------------------------------------------------------- {title}\n", indented]


def tracing(names: Iterable[str]) -> dict[str, Any]:
    """Return the right to send traces, which the functions' roles have while ``Tracing`` is Active."""
    sends = {"Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "Resource": "*"}
    policy = _resource(
        "AWS::IAM::Policy",
        PolicyName="tracing",
        PolicyDocument=_policy(sends),
        Roles=[_ref(f"{_logical(name)}Role") for name in names],
    )
    return {"TracingPolicy": {"Condition": "Traced", **policy}}


def alarm(described: Alarm) -> dict[str, Any]:
    """Return the resource of one alarm."""
    stack = {"Dimensions": [{"Name": STACK, "Value": _ref("AWS::StackName")}]}
    notified = Tagged("!If", ["HasAlarmTopic", [_ref("AlarmTopic")], _ref("AWS::NoValue")])
    return _resource(
        "AWS::CloudWatch::Alarm",
        **described.model_dump(exclude_none=True)
        | (stack if described.Namespace == NAMESPACE else {})
        | {"ComparisonOperator": "GreaterThanThreshold", "AlarmActions": notified, "OKActions": notified},
    )


def resources(name: str, function: Function) -> dict[str, Any]:
    """Return the resources of one function, by their logical names.

    Raises:
        TemplateInvalid: no file is named as the function.
    """
    logical = _logical(name)
    found = {
        f"{logical}LogGroup": _resource(
            "AWS::Logs::LogGroup",
            LogGroupName=_sub("/aws/lambda/${AWS::StackName}-" + name),
            RetentionInDays=_ref("LogRetentionDays"),
        ),
        f"{logical}Role": _resource(
            "AWS::IAM::Role",
            AssumeRolePolicyDocument=_policy(
                {"Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ),
            Policies=[{"PolicyName": name, "PolicyDocument": _policy(*_statements(logical, function))}],
        ),
        logical: _function(name, logical, function),
    }
    if function.route is not None:
        found |= _route(logical, function.route)
    return found


@cache
def modules() -> Mapping[str, str]:
    """Return every function's module, by the function's name: that of its file below ``cloud/functions/``."""
    files = (CLOUD / "functions").rglob("[a-z]*.py")
    dotted = {path.stem: ".".join(path.relative_to(CLOUD.parent).with_suffix("").parts) for path in files}
    return {stem.replace("_", "-"): module for stem, module in sorted(dotted.items())}


def _logical(name: str) -> str:
    return "".join(word.title() for word in name.split("-"))


def _statements(logical: str, function: Function) -> list[Mapping[str, Any]]:
    logs = {
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": _get(f"{logical}LogGroup.Arn"),
    }
    # One transaction puts an entry and moves its day's head, under the head that was read.
    audit = {
        "Action": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
        "Resource": _get("AuditTable.Arn"),
    }
    letters = function.DeadLetterQueue
    return [
        logs,
        *([audit] if function.audits else []),
        *(each.model_dump(exclude_none=True) for policy in function.Policies for each in policy.Statement),
        *([{"Action": "sqs:SendMessage", "Resource": letters.TargetArn}] if letters else []),
    ]


def _function(name: str, logical: str, function: Function) -> dict[str, Any]:
    if name not in modules():
        raise TemplateInvalid(f"functions.yaml: {name}: there is no file of that name below cloud/functions/")
    environment = function.Environment.Variables | (
        {"AUDIT_TABLE": _ref("AuditTable")} if function.audits else {}
    )
    if not function.public:
        environment |= {"STACK": _ref("AWS::StackName")}  # whose metrics it counts
    letters = function.DeadLetterQueue
    return _resource(
        "AWS::Lambda::Function",
        FunctionName=_sub("${AWS::StackName}-" + name),
        Description=function.Description or (function.route.key if function.route else ""),
        Handler=f"{modules()[name]}.handler",
        Runtime=_ref("Runtime"),
        Architectures=[_ref("Architecture")],
        Code={"S3Bucket": _ref("CodeBucket"), "S3Key": _ref("CodeKey")},
        Role=_get(f"{logical}Role.Arn"),
        Timeout=function.Timeout,
        MemorySize=function.MemorySize,
        LoggingConfig={
            "LogGroup": _ref(f"{logical}LogGroup"),
            "LogFormat": "JSON",
            "ApplicationLogLevel": "INFO",
            # A start and a report of each call would be most of the log; a failure is a warning.
            "SystemLogLevel": "WARN",
        },
        TracingConfig={"Mode": _ref("Tracing")},
        **({"DeadLetterConfig": {"TargetArn": letters.TargetArn}} if letters else {}),
        **({"Environment": {"Variables": environment}} if environment else {}),
    )


def _route(logical: str, route: Route) -> dict[str, Any]:
    arn = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/"
    authorization = (
        {"AuthorizationType": "NONE"}
        if route.public
        else {"AuthorizationType": "CUSTOM", "AuthorizerId": _ref("Authorizer")}
    )
    return {
        f"{logical}Route": _resource(
            "AWS::ApiGatewayV2::Route",
            ApiId=_ref("Api"),
            RouteKey=route.key,
            **authorization,
            Target=_sub("integrations/${" + logical + "Integration}"),
        ),
        f"{logical}Integration": _resource(
            "AWS::ApiGatewayV2::Integration",
            ApiId=_ref("Api"),
            IntegrationType="AWS_PROXY",
            IntegrationUri=_get(f"{logical}.Arn"),
            PayloadFormatVersion="2.0",
        ),
        f"{logical}RouteMayInvoke": _resource(
            "AWS::Lambda::Permission",
            FunctionName=_ref(logical),
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=_sub(arn + route.Method + re.sub(r"\{[^}]*\}", "*", route.Path)),
        ),
    }


def _resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


def _policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}


def _ref(name: str) -> Tagged:
    return Tagged("!Ref", name)


def _get(attribute: str) -> Tagged:
    return Tagged("!GetAtt", attribute)


def _sub(text: str) -> Tagged:
    return Tagged("!Sub", text)
