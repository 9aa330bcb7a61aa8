"""Routes without a caller: the same framing, and as little as there can be behind it."""

import logging
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from cloud.functions.system import get_openapi, health
from cloud.http.gateway_events import Response
from cloud.http.openapi_document import DOCUMENT
from cloud.http.public import public_handler
from tests.support.cloud.answers import held
from tests.support.cloud.api import body_of

EVENT = {"requestContext": {"requestId": "request-1"}}


def test_health_says_ok_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        answer = held(health.handler, "GET /health")(EVENT, None)

    assert (answer["statusCode"], body_of(answer)) == (200, {"status": "ok"})
    assert answer["headers"] == {"content-type": "application/json", "x-request-id": "request-1"}
    (line,) = caplog.messages
    assert 'request_id=request-1 route="GET /health" status=200' in line


def test_a_wrong_turn_of_ours_is_a_problem_document_that_tells_nothing() -> None:
    def fails(headers: Mapping[str, str]) -> Response:
        raise RuntimeError("secret table name")

    answer = public_handler(fails, route="GET /health")(EVENT, None)

    assert (answer["statusCode"], body_of(answer)["code"]) == (500, "internal-error")
    assert "secret" not in answer["body"]


@pytest.mark.parametrize("name", ["health", "get_openapi"])
def test_a_public_function_starts_without_the_aws_sdk_and_without_making_the_document(name: str) -> None:
    loaded = "{'boto3', 'cloud.openapi.document'} & sys.modules.keys()"
    program = f"import sys, cloud.functions.system.{name}; sys.exit(bool({loaded}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def described(**headers: str) -> dict[str, Any]:
    """The answer of ``GET /openapi.json``."""
    return held(get_openapi.handler, "GET /openapi.json")({**EVENT, "headers": headers}, None)


def test_the_description_that_is_answered_is_the_committed_one_and_may_be_kept_for_a_while() -> None:
    answer = described()

    assert (answer["statusCode"], answer["body"]) == (200, DOCUMENT.read_text("utf-8"))
    assert {name: value for name, value in answer["headers"].items() if name != "etag"} == {
        "content-type": "application/json",
        "cache-control": "public, max-age=300",
        "vary": "origin",
        "x-request-id": "request-1",
    }


@pytest.mark.parametrize("known", ["{tag}", "W/{tag}", '"another", {tag}', "*"])
def test_whoever_has_the_description_already_is_answered_304_without_it(known: str) -> None:
    headers = described()["headers"]

    answer = described(**{"If-None-Match": known.format(tag=headers["etag"])})

    assert answer["statusCode"] == 304
    assert "body" not in answer
    assert answer["headers"] == {name: value for name, value in headers.items() if name != "content-type"}


@pytest.mark.parametrize("known", ['"another"', 'W/"another", "third"', '"*"'])
def test_whoever_has_another_description_is_answered_the_whole(known: str) -> None:
    assert described(**{"If-None-Match": known})["statusCode"] == 200


def test_a_tag_that_is_none_is_400() -> None:
    answer = described(**{"If-None-Match": described()["headers"]["etag"].strip('"')})
    assert (answer["statusCode"], body_of(answer)["code"]) == (400, "invalid-precondition")
