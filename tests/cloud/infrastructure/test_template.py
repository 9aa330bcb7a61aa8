"""The template says what the code says: topics, routes, functions, environment; and no right too many."""

import ast
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from cloud import defaults
from cloud.auth.routes import PUBLIC_ROUTES, ROUTES
from cloud.ports.bucket import BUNDLES_KEPT
from cloud.services.group_membership import SETTLES_WITHIN
from cloud.tooling import template as rendering
from cloud.tooling.build import SERVICES
from contract import topics
from contract.commands import ResultAck
from contract.names import COMPONENT
from tests.support.cloud.template import functions, resources, template

CLOUD = Path(__file__).parents[3] / "cloud"
FUNCTIONS = CLOUD / "functions"
BEHIND_RULES_AND_TIMERS = {"advance-group-reboot", "authorize", "record-connection", "record-report", "sweep"}
ENVELOPE = (
    "SELECT encode(*, 'base64') AS payload, topic() AS topic, clientid() AS client, "
    "timestamp() AS received_at FROM '{}'"
)
WITHOUT_CALLERS = BEHIND_RULES_AND_TIMERS | set(PUBLIC_ROUTES.values())
ACK = "SELECT id, state, 1 AS v FROM '{}' WHERE NOT isUndefined(id) AND NOT isUndefined(state)"
TIME = "SELECT nonce, timestamp() AS server_time_ms, 1 AS v FROM '{}' WHERE event = 'hello'"
#: Where AWS knows no narrower resource (service authorization reference).
WITHOUT_RESOURCE = {
    "ecr:GetAuthorizationToken",
    "greengrass:CreateDeployment",
    "greengrass:ListDeployments",
    "iot:DescribeEndpoint",
    "iot:ListThingGroups",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}


def rules() -> dict[str, dict[str, Any]]:
    return {n: r["TopicRulePayload"] for n, r in resources("AWS::IoT::TopicRule").items()}


def statements(role: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for policy in role["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def role_of(name: str) -> dict[str, Any]:
    role: dict[str, Any] = resources("AWS::IAM::Role")[name.title().replace("-", "") + "Role"]
    return role


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text(resource: object) -> str:
    return json.dumps(resource)


@pytest.mark.parametrize(
    ("rule", "filter_"),
    [
        ("PresenceRule", topics.PRESENCE),
        ("ConnectionRule", topics.CONNECTIONS),
        ("ReportRule", topics.REPORTS),
        ("CommandResultRule", topics.COMMAND_RESULTS),
    ],
)
def test_what_devices_say_arrives_whatever_it_is_from_the_contracts_topic(rule: str, filter_: str) -> None:
    assert rules()[rule]["Sql"] == ENVELOPE.format(filter_)


def test_the_time_is_answered_to_every_hello_on_the_devices_own_topic() -> None:
    rule = rules()["TimeRule"]

    assert rule["Sql"] == TIME.format(topics.CONNECTIONS)
    (action,) = rule["Actions"]
    topic = action["Republish"]["Topic"]
    assert topic.replace("${topic(3)}", "robot-7") == topics.command_request("robot-7", "time")


def matches(pattern: str, topic: str) -> bool:
    """Whether a policy's resource, ``*`` being anything, is the topic's."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), topic) is not None


def test_a_result_is_acknowledged_on_the_devices_own_topic_with_what_the_contract_says() -> None:
    rule = rules()["AckRule"]

    assert rule["Sql"] == ACK.format(topics.COMMAND_RESULTS)
    (action,) = rule["Actions"]
    topic = action["Republish"]["Topic"]
    assert topic.replace("${topic(3)}", "robot-7") == topics.command_request("robot-7", "ack")
    assert action["Republish"]["Qos"] == 1  # what is lost is acknowledged when the result comes again
    selected = re.split(r",\s*", rule["Sql"].removeprefix("SELECT ").partition(" FROM ")[0])
    fields = {each.rpartition(" AS ")[2] or each for each in selected}
    assert fields == ResultAck.model_fields.keys()
    assert "1 AS v" in selected
    assert ResultAck.from_json(b'{"id":"cmd-01kanm5phz0123456789abcdef","state":"FAILED","v":1}').v == 1


def test_a_rule_may_say_what_it_says_to_devices_and_no_command() -> None:
    role = resources("AWS::IAM::Role")["RuleRole"]
    (resources_,) = (s["Resource"] for s in statements(role) if s["Action"] == "iot:Publish")
    said = [r["Actions"][0]["Republish"]["Topic"] for r in rules().values() if "Republish" in r["Actions"][0]]

    granted = [each["Fn::Sub"].partition(":topic/")[2] for each in resources_]
    assert sorted(granted) == sorted(topic.replace("${topic(3)}", "*") for topic in said)


def test_a_device_hears_every_topic_that_the_contract_has_for_it() -> None:
    policy = resources("AWS::IoT::Policy")["ThingPolicy"]["PolicyDocument"]
    thing = "${!iot:Connection.Thing.ThingName}"
    granted = {
        action: [each["Fn::Sub"].partition("}:topic")[2] for each in as_list(statement["Resource"])]
        for statement in policy["Statement"]
        for action in as_list(statement["Action"])
        if statement["Sid"] in ("HearItsCommands", "ReceiveItsCommands", "SpeakOfItself")
    }
    for command in get_args(topics.Command):
        heard = topics.command_request(thing, command)
        assert any(matches(p, f"filter/{heard}") for p in granted["iot:Subscribe"]), command
        assert any(matches(p, f"/{heard}") for p in granted["iot:Receive"]), command
        result = topics.command_result(thing, command)
        assert any(matches(p, f"/{result}") for p in granted["iot:Publish"]), command
    # With "+" for the command, as the recipe's lists are made: one subscription for all.
    assert any(matches(p, f"filter/cmd/fleetgrass/{thing}/+/req") for p in granted["iot:Subscribe"])


def test_what_the_queue_refuses_is_kept_although_the_device_was_told_that_it_arrived() -> None:
    """An acknowledgement says that IoT Core has the result; the way from there is the other rule's."""
    acks, results = rules()["AckRule"], rules()["CommandResultRule"]

    assert [*acks["Actions"][0]] == ["Republish"]
    assert len(acks["Actions"]) == 1
    (action,) = results["Actions"]
    assert action["Sqs"]["QueueUrl"] == {"Ref": "ReportQueue"}
    assert results["ErrorAction"]["Sqs"]["QueueUrl"] == {"Ref": "DeadLetterQueue"}
    assert "'base64') AS payload" in results["Sql"]  # whole, so that it can be sent again
    assert acks["Sql"].partition(" FROM ")[2].startswith(results["Sql"].partition(" FROM ")[2])
    kept = resources("AWS::SQS::Queue")["DeadLetterQueue"]
    assert kept["MessageRetentionPeriod"] == timedelta(days=14).total_seconds()


def test_presence_and_hello_go_straight_to_the_function_and_reports_through_the_queue() -> None:
    targets = {name: next(iter(rule["Actions"][0])) for name, rule in rules().items()}

    assert targets == {
        "PresenceRule": "Lambda",
        "ConnectionRule": "Lambda",
        "ReportRule": "Sqs",
        "CommandResultRule": "Sqs",
        "AckRule": "Republish",
        "TimeRule": "Republish",
    }


def test_nothing_that_a_rule_cannot_deliver_is_lost() -> None:
    for name, rule in rules().items():
        assert rule["ErrorAction"]["Sqs"]["QueueUrl"] == {"Ref": "DeadLetterQueue"}, name
    assert "DeadLetterConfig" in functions()["record-connection"]
    assert resources("AWS::SQS::Queue")["ReportQueue"]["RedrivePolicy"]["maxReceiveCount"] > 1


def test_every_queue_waits_longer_than_its_function_may_take_and_gives_up_to_the_dead_letters() -> None:
    fed = {}
    for mapping in resources("AWS::Lambda::EventSourceMapping").values():
        name = mapping["EventSourceArn"]["Fn::GetAtt"].removesuffix(".Arn")
        logical = mapping["FunctionName"]["Fn::GetAtt"].removesuffix(".Arn")
        function = resources("AWS::Lambda::Function")[logical]
        queue = resources("AWS::SQS::Queue")[name]
        fed[name] = function["FunctionName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")
        assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
        assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": "DeadLetterQueue.Arn"}
        assert queue["RedrivePolicy"]["maxReceiveCount"] > 1
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert fed == {"ReportQueue": "record-report", "GroupRebootQueue": "advance-group-reboot"}


def test_the_gateways_routes_are_the_code_s_routes() -> None:
    integrations = resources("AWS::ApiGatewayV2::Integration")
    served = {}
    for route in resources("AWS::ApiGatewayV2::Route").values():
        public = route["RouteKey"] in PUBLIC_ROUTES
        assert route["AuthorizationType"] == ("NONE" if public else "CUSTOM")
        assert route.get("AuthorizerId") == (None if public else {"Ref": "Authorizer"})
        integration = re.fullmatch(r"integrations/\$\{(\w+)\}", route["Target"]["Fn::Sub"])
        assert integration
        arn = integrations[integration[1]]["IntegrationUri"]["Fn::GetAtt"]
        function = template()["Resources"][arn.removesuffix(".Arn")]["Properties"]
        served[route["RouteKey"]] = function["FunctionName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")

    assert served == {key: route.operation for key, route in ROUTES.items()} | dict(PUBLIC_ROUTES)


def test_every_route_may_invoke_its_function_and_only_on_its_path() -> None:
    permissions = resources("AWS::Lambda::Permission")
    sources = {p["SourceArn"].get("Fn::Sub", "").partition("${Api}/*/")[2] for p in permissions.values()}

    for key in (*ROUTES, *PUBLIC_ROUTES):
        method, path = key.split(" ", 1)
        assert method + re.sub(r"\{\w+\}", "*", path) in sources


def test_a_decision_for_one_route_is_never_used_for_another() -> None:
    (authorizer,) = resources("AWS::ApiGatewayV2::Authorizer").values()

    assert authorizer["IdentitySource"] == ["$request.header.Authorization", "$context.routeKey"]
    assert authorizer["AuthorizerPayloadFormatVersion"] == "2.0"
    assert authorizer["EnableSimpleResponses"] is True


def test_every_function_is_a_module_with_its_name() -> None:
    found = functions()

    assert found.keys() == {r.operation for r in ROUTES.values()} | WITHOUT_CALLERS
    for name, function in found.items():
        [file] = FUNCTIONS.rglob(f"{name.replace('-', '_')}.py")
        assert function["Handler"] == f"cloud.functions.{file.parent.name}.{file.stem}.handler"


@cache
def _imports_of(path: Path) -> frozenset[Path]:
    """The modules of the cloud that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [each.name for each in getattr(node, "names", ())]
        if isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{name}" for name in names)]
        if isinstance(node, ast.Import | ast.ImportFrom):
            files = [CLOUD.parent.joinpath(*name.split(".")).with_suffix(".py") for name in names]
            found |= {file for file in files if CLOUD in file.parents and file.exists()}
    return frozenset(found)


def _modules_of(path: Path, found: set[Path]) -> set[Path]:
    """Add ``path`` to ``found``, and every module of the cloud that it imports, at whatever depth."""
    if path not in found:
        found.add(path)
        for file in _imports_of(path):
            _modules_of(file, found)
    return found


def _variables_read_by(path: Path) -> set[str]:
    """The variables of the environment that a function reads: in its module, or in one that it imports."""
    return {
        name.upper()
        for module in _modules_of(path, set())
        for name in re.findall(r"\bENVIRONMENT\.(\w+)", module.read_text())
    }


def test_every_function_is_given_the_environment_that_it_reads_and_no_more() -> None:
    for name, function in functions().items():
        [file] = FUNCTIONS.rglob(f"{name.replace('-', '_')}.py")
        read = _variables_read_by(file) - {"AWS_LAMBDA_FUNCTION_NAME"}  # which Lambda gives to all
        assert set(function.get("Environment", {"Variables": {}})["Variables"]) == read, name


def test_the_environment_is_read_in_one_place_but_for_what_is_boto3s() -> None:
    reads = {
        str(path.relative_to(CLOUD)): set(re.findall(r'"(\w+)" in os\.environ', path.read_text()))
        for path in CLOUD.rglob("*.py")
        if re.search(r"\benviron\b|\bgetenv\b", path.read_text())
    }
    reads.pop("environment.py")
    [(module, names)] = reads.items()
    assert (module, {name[:16] for name in names}) == ("aws/clients.py", {"AWS_ENDPOINT_URL"})


def test_whoever_serves_callers_may_write_the_audit_and_nobody_may_take_from_it() -> None:
    for name in functions():
        logical = "".join(word.title() for word in name.split("-"))
        role = template()["Resources"][f"{logical}Role"]["Properties"]
        audit = {
            action
            for statement in statements(role)
            if "AuditTable" in text(statement["Resource"])
            for action in as_list(statement["Action"])
        }
        writes = {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}
        assert audit - {"dynamodb:Query"} == (set() if name in WITHOUT_CALLERS else writes), name


def test_the_zip_describes_every_service_that_a_function_calls() -> None:
    called = {
        service
        for path in FUNCTIONS.parent.rglob("*.py")
        for service in re.findall(r'[^.\w]client\("([a-z0-9-]+)"\)', path.read_text())
    }

    assert called >= {"dynamodb", "greengrassv2", "iot-data", "sqs"}
    assert called <= set(SERVICES)


def test_every_function_has_a_role_of_its_own_and_logs_to_its_own_group() -> None:
    roles = [text(function["Role"]) for function in functions().values()]

    assert len(set(roles)) == len(roles)
    for name, function in functions().items():
        group = template()["Resources"][function["LoggingConfig"]["LogGroup"]["Ref"]]["Properties"]
        assert group["LogGroupName"]["Fn::Sub"].endswith(f"-{name}")


def test_no_role_may_do_anything_to_everything() -> None:
    own = {name: list(statements(role)) for name, role in resources("AWS::IAM::Role").items()}
    shared = {n: p["PolicyDocument"]["Statement"] for n, p in resources("AWS::IAM::Policy").items()}
    for name, granted in (own | shared).items():
        for statement in granted:
            actions = as_list(statement["Action"])
            assert not [a for a in actions if "*" in a], name
            if "*" in as_list(statement["Resource"]):
                assert set(actions) <= WITHOUT_RESOURCE, name


def may(role: dict[str, Any]) -> set[str]:
    return {action for statement in statements(role) for action in as_list(statement["Action"])}


def test_no_role_may_scan_a_table() -> None:
    for role in resources("AWS::IAM::Role").values():
        assert not may(role) & {"dynamodb:Scan", "dynamodb:PartiQLSelect"}


def test_no_function_that_moves_devices_lives_as_long_as_it_has_one_to_itself() -> None:
    movers = {name for name in functions() if "iot:AddThingToThingGroup" in may(role_of(name))}

    assert movers == {"add-device-to-group", "remove-device-from-group", "sweep"}
    for name in movers:
        assert timedelta(seconds=functions()[name]["Timeout"]) < SETTLES_WITHIN, name


def test_a_device_may_speak_as_itself_alone() -> None:
    policy = resources("AWS::IoT::Policy")["ThingPolicy"]["PolicyDocument"]
    thing = "${!iot:Connection.Thing.ThingName}"
    arns = [
        text(resource)
        for statement in policy["Statement"]
        for resource in as_list(statement["Resource"])
        if statement["Action"] != "iot:AssumeRoleWithCertificate" and resource != "*"
    ]

    assert all(thing in arn for arn in arns)
    for topic in (topics.connection(thing), topics.report(thing)):
        assert any(arn.endswith(f':topic/{topic}"}}') for arn in arns)
    granted = {a for s in policy["Statement"] for a in as_list(s["Action"])}
    assert "greengrass:ListThingGroupsForCoreDevice" in granted  # else every group deployment fails
    assert not [action for action in granted if "*" in action]


def test_a_devices_credentials_fetch_and_nothing_else() -> None:
    role = resources("AWS::IAM::Role")["TokenExchangeRole"]
    granted = {a: s["Resource"] for s in statements(role) for a in as_list(s["Action"])}

    assert granted.keys() == {
        "s3:GetObject", "s3:GetBucketLocation", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer", "ecr:GetAuthorizationToken",
        "secretsmanager:GetSecretValue", "ssm:GetParameter",
    }  # fmt: skip
    assert granted["secretsmanager:GetSecretValue"]["Fn::Sub"].endswith(":secret:fleetgrass/*")
    assert granted["ssm:GetParameter"]["Fn::Sub"].endswith(":parameter/fleetgrass/*")
    assert granted["s3:GetObject"] == [
        {"Fn::Sub": "${Bucket.Arn}/desired/*"},
        {"Fn::Sub": f"${{Bucket.Arn}}/{COMPONENT}/*"},
    ]


def test_every_table_is_on_demand_encrypted_and_can_be_restored() -> None:
    tables = resources("AWS::DynamoDB::Table")

    assert tables.keys() == {
        "DevicesTable", "CommandsTable", "DeploymentsTable", "HistoryTable", "AuditTable",
    }  # fmt: skip
    for table in tables.values():
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["SSESpecification"]["SSEEnabled"]
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    for name in ("CommandsTable", "HistoryTable"):
        assert tables[name]["TimeToLiveSpecification"] == {"AttributeName": "delete_at", "Enabled": True}


def test_objects_are_private_and_encrypted_and_only_bundles_of_logs_expire() -> None:
    bucket = resources("AWS::S3::Bucket")["Bucket"]

    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert "BucketEncryption" in bucket
    expiring = [rule for rule in bucket["LifecycleConfiguration"]["Rules"] if "Expiration" in text(rule)]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in expiring] == [
        ("bundles/", BUNDLES_KEPT / timedelta(days=1))
    ]


def test_a_function_publishes_the_one_command_that_its_route_is_for_and_who_sends_again_publishes_all() -> (
    None
):
    published = {
        name: topics_
        for name in functions()
        if (
            topics_ := {
                resource["Fn::Sub"].partition(":topic/")[2]
                for statement in statements(role_of(name))
                if statement["Action"] == "iot:Publish"
                for resource in as_list(statement["Resource"])
            }
        )
    }

    every = frozenset(get_args(topics.CommandKind))
    orders: dict[str, frozenset[topics.CommandKind]] = {
        "reboot-device": frozenset({"reboot"}),
        "request-report": frozenset({"report-now"}),
        "restart-application": frozenset({"restart-application"}),
        "retry-application": frozenset({"retry-application"}),
        "collect-logs": frozenset({"collect-logs"}),
        "rotate-secrets": frozenset({"rotate-secrets"}),
        "record-connection": every,
        "sweep": every,
        "advance-group-reboot": frozenset({"reboot"}),
    }
    assert published == {
        name: {topics.command_request("*", kind) for kind in kinds} for name, kinds in orders.items()
    }


def test_a_number_that_is_a_parameter_of_the_stack_too_has_one_value() -> None:
    """The functions go by the parameter; the number is for whoever has none, as the tests."""
    parameters = {name: each.get("Default") for name, each in template()["Parameters"].items()}
    assert parameters["OfflineDebounceS"] == defaults.OFFLINE_DEBOUNCE_S
    assert parameters["SubmittingStaleS"] == defaults.SUBMITTING_STALE_S


def test_bundles_are_put_by_collect_logs_and_read_by_get_command_alone() -> None:
    bundles = {"Fn::Sub": "${Bucket.Arn}/bundles/*"}
    may = [
        (name, statement["Action"])
        for name, role in resources("AWS::IAM::Role").items()
        for statement in statements(role)
        if bundles in as_list(statement["Resource"])
    ]
    assert may == [("CollectLogsRole", "s3:PutObject"), ("GetCommandRole", "s3:GetObject")]


def test_the_template_is_small_enough_for_cloudformation() -> None:
    assert len((FUNCTIONS.parent / "template.yaml").read_bytes()) < 1_000_000


def test_the_committed_template_is_what_its_sources_make() -> None:
    assert rendering.TEMPLATE.read_text("utf-8") == rendering.render(), "run: python -m cloud template"


def test_a_function_may_do_what_it_declares_and_write_its_own_logs_and_nothing_else() -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn"}
    declared = rendering.Function.model_validate({"Policies": [{"Statement": [statement]}]})

    role = rendering.resources("get-device", declared)["GetDeviceRole"]["Properties"]

    logs, own = list(statements(role))
    assert (logs["Action"], logs["Resource"].value) == (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        "GetDeviceLogGroup.Arn",
    )
    assert own == statement


def test_a_function_without_a_file_is_refused() -> None:
    declared = rendering.Function.model_validate({"Policies": []})
    with pytest.raises(rendering.TemplateInvalid, match="get-thing"):
        rendering.resources("get-thing", declared)


def test_a_word_that_no_function_has_is_refused() -> None:
    with pytest.raises(ValidationError, match="timeout"):
        rendering.Function.model_validate({"timeout": 3})
