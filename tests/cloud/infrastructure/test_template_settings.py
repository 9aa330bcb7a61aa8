"""What the template has the gateway and the functions do by configuration alone: CORS, logs, traces."""

import json
import re

import pytest

from cloud.auth.routes import PUBLIC_ROUTES, ROUTES
from cloud.openapi import document
from contract.names import COMPONENT
from tests.support.cloud.template import functions, resources, template


def origins_allowed(console: str) -> bool:
    """Whether the stack takes ``console`` as the console's origin."""
    pattern = template()["Parameters"]["ConsoleOrigin"]["AllowedPattern"]
    return re.fullmatch(pattern, console) is not None  # CloudFormation matches the whole value


def test_pages_of_the_consoles_origin_may_call_the_api_and_none_of_any_other() -> None:
    condition, given, otherwise = resources("AWS::ApiGatewayV2::Api")["Api"]["CorsConfiguration"]["Fn::If"]

    assert template()["Conditions"][condition] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "ConsoleOrigin"}, ""]}]
    }
    assert template()["Parameters"]["ConsoleOrigin"]["Default"] == ""
    assert otherwise == {"Ref": "AWS::NoValue"}
    assert given["AllowOrigins"] == [{"Ref": "ConsoleOrigin"}]
    assert given["AllowCredentials"] is False
    assert "*" not in json.dumps(given)


@pytest.mark.parametrize(
    ("console", "taken"),
    [
        ("", True), ("https://fleet.example.com", True), ("https://fleet.example.com:8443", True),
        ("http://localhost:5173", True), ("http://127.0.0.1", True),
        ("*", False), ("https://*", False), ("http://*", False), ("https://*.example.com", False),
        ("http://fleet.example.com", False), ("https://fleet.example.com/", False), ("null", False),
        ("https://a.test,https://b.test", False), ("https://", False), ("http://127x0x0x1", False),
    ],
)  # fmt: skip
def test_the_consoles_origin_is_one_origin_and_over_tls_but_on_loopback(console: str, taken: bool) -> None:
    assert origins_allowed(console) is taken


def test_a_page_may_use_every_method_and_header_of_the_api_and_read_every_header_of_its_answers() -> None:
    given = resources("AWS::ApiGatewayV2::Api")["Api"]["CorsConfiguration"]["Fn::If"][1]
    operations = [o for methods in document.document()["paths"].values() for o in methods.values()]
    sent = {p["name"].lower() for o in operations for p in o.get("parameters", ()) if p["in"] == "header"}
    answered = {
        name.lower() for o in operations for r in o["responses"].values() for name in r.get("headers", ())
    }

    assert set(given["AllowMethods"]) == {key.split(" ")[0] for key in (*ROUTES, *PUBLIC_ROUTES)}
    assert set(given["AllowHeaders"]) == sent | {"authorization", "content-type", "if-match"}
    # What every page may read goes without saying (Fetch, CORS-safelisted response-header name).
    assert set(given["ExposeHeaders"]) == (answered - {"cache-control"}) | {"apigw-requestid"}


def test_who_finishes_deployments_may_ask_for_the_agents_newest_version_and_for_no_other_components() -> None:
    for name in ("CreateDeploymentRole", "SweepRole"):
        policies = resources("AWS::IAM::Role")[name]["Policies"]
        statements = [s for policy in policies for s in policy["PolicyDocument"]["Statement"]]
        [asked] = [s for s in statements if s["Action"] == "greengrass:ListComponentVersions"]
        assert asked["Resource"]["Fn::Sub"].endswith(f":${{AWS::AccountId}}:components:{COMPONENT}")


def test_a_stack_may_name_no_version_of_the_agent_and_has_no_empty_output_then() -> None:
    assert template()["Parameters"]["AgentVersion"]["Default"] == ""
    condition = template()["Conditions"][template()["Outputs"]["AgentVersion"]["Condition"]]
    assert condition == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AgentVersion"}, ""]}]}


def test_functions_log_json_from_info_on_and_the_runtime_only_what_went_wrong() -> None:
    for name, function in functions().items():
        said = {key: value for key, value in function["LoggingConfig"].items() if key != "LogGroup"}
        assert said == {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "WARN"}, name


def test_traces_are_sent_by_every_function_when_it_is_asked_for_and_no_right_is_given_otherwise() -> None:
    parameter = template()["Parameters"]["Tracing"]
    policy = template()["Resources"]["TracingPolicy"]

    assert (parameter["Default"], parameter["AllowedValues"]) == ("PassThrough", ["PassThrough", "Active"])
    assert {json.dumps(f["TracingConfig"]) for f in functions().values()} == {
        json.dumps({"Mode": {"Ref": "Tracing"}})
    }
    assert template()["Conditions"][policy["Condition"]] == {"Fn::Equals": [{"Ref": "Tracing"}, "Active"]}
    roles = {role["Ref"] for role in policy["Properties"]["Roles"]}
    assert roles == {f["Role"]["Fn::GetAtt"].removesuffix(".Arn") for f in functions().values()}
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert set(statement["Action"]) == {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
