"""What is read from Schemathesis's record of a run: nothing that it found is lost, nothing untried passes."""

import json
import tomllib
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conformance.running import OPERATIONS, Found, read

REBOOT, COMMAND = "POST /devices/{device}/reboot", "GET /devices/{device}/commands/{command}"


def test_an_operation_has_one_list_of_what_may_be_answered() -> None:
    configuration = tomllib.loads((Path(__file__).parent / "schemathesis.toml").read_text())
    checked = [each for each in configuration["operations"] if "checks" in each]
    named = [each["include-operation-id"] for each in checked]
    of_operation = Counter(name for names in named for name in ([names] if isinstance(names, str) else names))

    assert of_operation["get-openapi"] == 1
    assert set(of_operation.values()) == {1}


def content(text: str) -> dict[str, str]:
    return {"$base64": b64encode(text.encode()).decode()}


def record(folder: Path, *recorders: dict[str, Any] | None) -> Path:
    path = folder / "events.ndjson"
    events = [{"EngineStarted": {}}, *({"ScenarioFinished": {"recorder": each}} for each in recorders)]
    path.write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")
    return path


def test_a_failure_is_told_with_its_operation_its_check_what_was_asked_and_what_was_answered(
    tmp_path: Path,
) -> None:
    failed = {
        "name": "not_a_server_error", "status": "failure", "failure_info": {"failure": {"message": "no"}}
    }  # fmt: skip
    asked = {"uri": "http://api/devices/a/reboot", "body": content('{"reason": "x"}')}
    answered = {"status_code": 500, "content": content('{"code": "internal-error"}')}

    found = read(
        record(
            tmp_path,
            None,
            {
                "label": REBOOT,
                "cases": {"1": {"value": {"method": "POST", "path": "/devices/a/reboot"}}},
                "interactions": {"1": {"request": asked, "response": answered}},
                "checks": {"1": [failed, {"name": "ignored_auth", "status": "success"}]},
            },
        )
    )

    assert found.answers == {REBOOT: Counter({500: 1})}
    assert found.failures == [
        f'{REBOOT}: not_a_server_error: no | http://api/devices/a/reboot {{"reason": "x"}} '
        '| {"code": "internal-error"}'
    ]


def test_the_steps_of_a_stateful_scenario_are_told_apart(tmp_path: Path) -> None:
    cases = {
        "1": {"value": {"method": "POST", "path": "/devices/a/reboot"}},
        "2": {"value": {"method": "GET", "path": "/devices/a/commands/c"}, "is_transition_applied": True},
    }
    interactions = {"1": {"response": {"status_code": 202}}, "2": {"response": {"status_code": 200}}}

    found = read(record(tmp_path, {"label": "Stateful tests", "cases": cases, "interactions": interactions}))

    assert found.answers == {REBOOT: Counter({202: 1}), COMMAND: Counter({200: 1})}
    assert found.succeeded == {REBOOT, COMMAND}
    assert found.links_followed == 1


def test_a_run_that_tried_less_than_everything_speaks_against_the_api() -> None:
    against = Found({REBOOT: Counter({202: 1})}, 0, []).against()

    assert f"{COMMAND} was not tried" in against
    assert f"{REBOOT} was not tried" not in against
    assert f"only 1 of {OPERATIONS} operations gave a 2xx" in against
    assert "no link was followed" in against
