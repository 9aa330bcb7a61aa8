"""Routes without a caller: the same framing, and as little as there can be behind it."""

import logging
import subprocess
import sys

import pytest

from cloud.functions.health import handler
from cloud.gateway import Response
from cloud.public import public_handler
from tests.cloud.api import body_of

EVENT = {"requestContext": {"requestId": "request-1"}}


def test_health_says_ok_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        answer = handler(EVENT, None)

    assert (answer["statusCode"], body_of(answer)) == (200, {"status": "ok"})
    assert answer["headers"] == {"content-type": "application/json", "x-request-id": "request-1"}
    (line,) = caplog.messages
    assert 'request_id=request-1 route="GET /health" status=200' in line


def test_a_wrong_turn_of_ours_is_a_problem_document_that_tells_nothing() -> None:
    def fails() -> Response:
        raise RuntimeError("secret table name")

    answer = public_handler(fails, route="GET /health")(EVENT, None)

    assert (answer["statusCode"], body_of(answer)["code"]) == (500, "internal-error")
    assert "secret" not in answer["body"]


def test_a_public_function_starts_without_the_aws_sdk() -> None:
    program = "import sys, cloud.functions.health; sys.exit('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
