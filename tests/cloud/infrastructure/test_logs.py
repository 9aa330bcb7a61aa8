"""Lines that queries find: the facts are members, and nothing is logged by another way."""

import ast
import json
import logging
import re
from pathlib import Path

import pytest

from cloud.telemetry.logs import log_context, log_event

CLOUD = Path(__file__).parents[3] / "cloud"
log = logging.getLogger("cloud.test")


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_line_has_its_facts_and_those_of_what_it_is_about(caplog: pytest.LogCaptureFixture) -> None:
    with log_context(request_id="r-1", device="robot-7"):
        with log_context(message_id="m-1", device="robot-8"):
            log_event(log, "inner", command="c-1", code=None)
        log_event(log, "outer", device="robot-9")
    log_event(log, "after")

    assert caplog.messages == [
        "inner: command=c-1 request_id=r-1 device=robot-8 message_id=m-1",
        "outer: device=robot-9 request_id=r-1",
        "after: ",
    ]
    inner, outer, after = (vars(record) for record in caplog.records)
    assert (inner["request_id"], inner["message_id"], inner["command"]) == ("r-1", "m-1", "c-1")
    assert (outer["device"], "message_id" in outer) == ("robot-9", False)
    assert "request_id" not in after
    assert "code" not in inner  # None is no fact


def test_what_a_block_was_about_is_forgotten_when_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError), log_context(device="robot-7"):
        _ = 1 / 0
    log_event(log, "after")

    assert not hasattr(caplog.records[0], "device")


def test_a_value_cannot_forge_a_line_or_another_fact(caplog: pytest.LogCaptureFixture) -> None:
    forged = 'x" status=200\nERROR all is lost'
    log_event(log, "refused", code=forged)

    (line,) = caplog.messages
    assert line == f"refused: code={json.dumps(forged)}"
    assert "\n" not in line


def test_an_error_brings_its_stack_and_the_line_says_where_it_was_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log_event(log, "failed", level=logging.ERROR, error=ValueError("why"))

    (record,) = caplog.records
    assert (record.levelname, record.pathname) == ("ERROR", __file__)
    assert record.exc_info
    assert "ValueError: why" in caplog.text


def test_the_lambdas_log_by_tell_alone() -> None:
    """A fact inside a message's text is found by no query."""
    logging_calls = {"debug", "info", "warning", "error", "exception", "critical", "log"}
    found = [
        f"{path.relative_to(CLOUD)}:{node.lineno}"
        for path in CLOUD.rglob("*.py")
        if path.name not in ("logs.py", "__main__.py") and path.parent.name != "tooling"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in logging_calls
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("log", "logger", "logging")
    ]
    assert found == []


def test_a_documented_query_for_a_message_finds_that_one_alone() -> None:
    told = {
        str(node.args[1].value)
        for path in CLOUD.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "log_event"
        if isinstance(node.args[1], ast.Constant)
    }
    documented = (CLOUD.parent / "docs" / "operations.md").read_text()
    queries = re.findall(r'message like (?:/(.+?)/|"(.+?)")', documented)

    assert {"refused", "deployment refused"} <= told
    assert queries
    for pattern, text in queries:
        wanted = re.compile(pattern or re.escape(text))
        assert len([message for message in told if wanted.search(f"{message}: ")]) == 1, pattern or text
