"""What the tests' own check of answers catches, and that no test of an operation goes past it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cloud.openapi.examples import EXAMPLES
from cloud.openapi.models.answers import Problem
from cloud.openapi.models.devices import DevicePage
from cloud.openapi.models.groups import GroupRebootSubmitted
from tests.support.cloud.answers import hold

LIST, REBOOT, EXPORT = "GET /devices", "POST /groups/{group}/reboots", "GET /audit/export"
REMOVE, DESCRIPTION = "DELETE /groups/{group}/devices/{device}", "GET /openapi.json"
PAGE, SUBMITTED, PROBLEM = EXAMPLES[DevicePage], EXAMPLES[GroupRebootSubmitted], EXAMPLES[Problem]
HERE = {"location": "/groups/line-3/reboots/reboot-1"}
TESTS = Path(__file__).parents[2]
#: They ask the framing about operations that they make up, measure, or are the check.
PAST_THE_CHECK = {
    "support/cloud/answers.py", "scale.py",
    "cloud/auth/test_permissions.py", "cloud/auth/test_authorize.py",
    "cloud/http/test_handler.py", "cloud/http/test_audit.py",
}  # fmt: skip


def answer(
    status: int, body: object, kind: str | None = "application/json", headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    said = {**(headers or {}), **({} if kind is None else {"content-type": kind})}
    return {"statusCode": status, "headers": said} | ({} if body is None else {"body": json.dumps(body)})


def problem(status: int, code: str, kind: str = "application/problem+json", **more: object) -> dict[str, Any]:
    return answer(status, {**PROBLEM, "status": status, "code": code, **more}, kind)


def a_page(**changes: object) -> dict[str, Any]:
    return {"devices": [{**PAGE["devices"][0], **changes}], "cursor": None}


@pytest.mark.parametrize(
    ("route", "stated"),
    [
        (LIST, answer(200, PAGE)),
        (LIST, problem(404, "group-not-found")),
        (LIST, problem(403, "group-not-allowed", role="Fleet.Reader", groups=["line-3"])),
        (REBOOT, answer(202, SUBMITTED, headers=HERE)),
        (REBOOT, problem(422, "idempotency-key-reused")),
        (EXPORT, answer(200, "", "application/x-ndjson")),
        (REMOVE, answer(204, None, None)),
        (DESCRIPTION, answer(304, None, None)),
    ],
)
def test_an_answer_that_is_stated_passes(route: str, stated: dict[str, Any]) -> None:
    hold(route, stated)


@pytest.mark.parametrize(
    ("route", "other"),
    [
        (LIST, answer(200, a_page(colour="red"))),
        (LIST, answer(200, a_page(level="1"))),
        (LIST, answer(200, a_page(state="asleep"))),
        (LIST, answer(200, a_page(desired={"state": "CONVERGED", "colour": "red"}))),
        (LIST, answer(200, {"devices": []})),
        (LIST, answer(201, PAGE)),
        (LIST, answer(200, PAGE, "text/plain")),
        (LIST, answer(304, None, None)),
        (LIST, answer(200, PAGE, headers=HERE)),
        (REBOOT, answer(202, SUBMITTED)),
        (EXPORT, answer(200, [])),
        (REMOVE, answer(204, {})),
        (LIST, problem(404, "device-not-found")),
        (LIST, problem(409, "group-not-found")),
        (LIST, problem(404, "group-not-found", "application/json")),
        (LIST, problem(404, "group-not-found", detail=None)),
        (LIST, problem(403, "group-not-allowed") | {"statusCode": 404}),
    ],
)
def test_an_answer_that_is_not_stated_fails_its_test(route: str, other: dict[str, Any]) -> None:
    with pytest.raises((AssertionError, ValidationError)):
        hold(route, other)


def test_every_test_of_an_operation_holds_its_answers() -> None:
    using = {
        str(path.relative_to(TESTS))
        for path in TESTS.rglob("*.py")
        if re.search(r"^from cloud\.http\.handler import .*\blambda_handler\b", path.read_text("utf-8"), re.M)
    }

    assert using == PAST_THE_CHECK
