"""What the template needs of Lambda in the emulator: retries, batches, authorizers, and roles."""

import base64
import json

import pytest
import requests

from tests.support.platform.lab import Lab, allow, until

pytestmark = pytest.mark.platform


def test_a_burst_of_messages_on_a_rule_reaches_a_cold_function_without_loss(lab: Lab) -> None:
    device, seen = lab.device(), lab.queue()
    function = lab.function("def handler(event, context): tell(event['n'])", seen=seen)
    lab.rule(lab.everything_from(f"burst/{device.thing}"), {"lambda": {"functionArn": function}})

    with lab.connected(device) as connection:
        for n in range(60):
            connection.client.publish(f"burst/{device.thing}", json.dumps({"n": n}), qos=1)
        numbers = lab.receive(seen, 60)

    assert sorted(numbers) == list(range(60))


def test_a_function_that_keeps_failing_is_tried_three_times_and_then_dead_lettered(lab: Lab) -> None:
    device, seen, dead = lab.device(), lab.queue(), lab.queue()
    function = lab.function(
        """
        def handler(event, context):
            tell("tried")
            raise ValueError("no")
        """,
        seen=seen,
        DeadLetterConfig={"TargetArn": lab.queue_arn(dead)},
    )
    lab.rule(lab.everything_from(f"fail/{device.thing}"), {"lambda": {"functionArn": function}})

    with lab.connected(device) as connection:
        lab.publish(connection, f"fail/{device.thing}", b'{"n": 7}')
        (letter,) = lab.receive(dead)

    assert letter["requestPayload"] == {"n": 7}
    assert lab.receive(seen, 3) == ["tried"] * 3


def test_a_batch_is_redelivered_only_in_its_failed_part_and_then_dead_lettered(lab: Lab) -> None:
    seen, dead = lab.queue(), lab.queue()
    redrive = json.dumps({"deadLetterTargetArn": lab.queue_arn(dead), "maxReceiveCount": 2})
    queue = lab.queue(VisibilityTimeout="3", RedrivePolicy=redrive)
    function = lab.function(
        """
        def handler(event, context):
            for record in event["Records"]:
                tell(record["body"])
            bad = [r["messageId"] for r in event["Records"] if r["body"] == "bad"]
            return {"batchItemFailures": [{"itemIdentifier": i} for i in bad]}
        """,
        seen=seen,
    )
    client = lab.client("lambda")
    client.invoke(FunctionName=function, Payload=b'{"Records": []}')  # warm, so that 3 s are enough
    client.create_event_source_mapping(
        EventSourceArn=lab.queue_arn(queue),
        FunctionName=function,
        BatchSize=10,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )

    entries = [{"Id": body, "MessageBody": body} for body in ("good", "bad", "fine")]
    lab.client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)
    messages = lab.receive_raw(dead)

    assert messages == ["bad"]
    assert sorted(lab.receive(seen, 4)) == ["bad", "bad", "fine", "good"]


@pytest.fixture(scope="module")
def api(lab: Lab) -> str:
    """The URL of an API with one route behind a REQUEST authorizer as the template's."""
    gateway, seen = lab.client("apigatewayv2"), lab.queue()
    authorizer = lab.function(
        """
        def handler(event, context):
            word = event["headers"]["authorization"]
            return {"isAuthorized": word != "no", "context": {"subject": word, "route": event["routeKey"]}}
        """,
        seen=seen,
    )
    operation = lab.function(
        """
        def handler(event, context):
            said = event["requestContext"]["authorizer"]["lambda"]
            body = {"said": said, "path": event["pathParameters"], "route": event["routeKey"]}
            return {"statusCode": 200, "body": json.dumps(body)}
        """,
        seen=seen,
    )
    made = gateway.create_api(Name=lab.name(), ProtocolType="HTTP")["ApiId"]
    uri = f"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{authorizer}/invocations"
    checked = gateway.create_authorizer(
        ApiId=made,
        Name="it",
        AuthorizerType="REQUEST",
        AuthorizerPayloadFormatVersion="2.0",
        EnableSimpleResponses=True,
        IdentitySource=["$request.header.Authorization", "$context.routeKey"],
        AuthorizerUri=uri,
    )["AuthorizerId"]
    integration = gateway.create_integration(
        ApiId=made, IntegrationType="AWS_PROXY", IntegrationUri=operation, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    gateway.create_route(
        ApiId=made,
        RouteKey="GET /devices/{device}",
        AuthorizationType="CUSTOM",
        AuthorizerId=checked,
        Target=f"integrations/{integration}",
    )
    gateway.create_stage(ApiId=made, StageName="$default", AutoDeploy=True)
    for function in (authorizer, operation):
        lab.client("lambda").add_permission(
            FunctionName=function,
            StatementId="gateway",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
        )
    return f"{lab.aws.endpoint_url}/_aws/execute-api/{made}"


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=15)


def test_a_request_without_the_identity_source_is_answered_401(api: str) -> None:
    assert get(f"{api}/devices/robot-1").status_code == 401


def test_a_request_that_the_authorizer_refuses_is_answered_403(api: str) -> None:
    assert get(f"{api}/devices/robot-1", Authorization="no").status_code == 403


def test_what_the_authorizer_says_reaches_the_operation_with_the_route(api: str) -> None:
    answer = get(f"{api}/devices/robot%3A1", Authorization="yes")

    assert answer.json() == {
        "said": {"subject": "yes", "route": "GET /devices/{device}"},
        "path": {"device": "robot:1"},
        "route": "GET /devices/{device}",
    }


def test_a_function_may_do_what_its_role_allows_and_nothing_else(lab: Lab) -> None:
    seen = lab.queue()
    role = lab.role()
    function = lab.function("def handler(event, context): tell('did')", seen=seen, role=role)
    client = lab.client("lambda")

    denied = client.invoke(FunctionName=function)
    assert denied["FunctionError"]
    assert b"sqs:sendmessage" in denied["Payload"].read().lower()

    lab.client("iam").put_role_policy(
        RoleName=role.rsplit("/", 1)[1],
        PolicyName="now",
        PolicyDocument=json.dumps(allow("sqs:SendMessage", lab.queue_arn(seen))),
    )

    assert until(lambda: "FunctionError" not in client.invoke(FunctionName=function), 10)
    assert lab.receive(seen) == ["did"]


def test_functions_of_the_same_code_share_its_unpacked_folder(lab: Lab) -> None:
    seen = lab.queue()
    code = "def handler(event, context): tell(os.path.realpath(os.environ['LAMBDA_TASK_ROOT']))"

    for _ in range(2):
        lab.client("lambda").invoke(FunctionName=lab.function(code, seen=seen))

    assert len(set(lab.receive(seen, 2))) == 1


def test_what_an_invocation_wrote_is_its_own_even_an_unfinished_line(lab: Lab) -> None:
    code = """
        import sys
        def handler(event, context): sys.stderr.write(f"told\\nleft {event}")
        """
    function = lab.function(code, seen=lab.queue())
    tails = [
        lab.client("lambda").invoke(FunctionName=function, LogType="Tail", Payload=str(n))["LogResult"]
        for n in range(3)
    ]

    written = [base64.b64decode(tail).decode().splitlines() for tail in tails]

    assert [[line for line in lines if "told" in line or "left" in line] for lines in written] == [
        ["told", f"left {n}"] for n in range(3)
    ]
    assert not any("invocation's output" in line for lines in written for line in lines)
