"""Schemathesis against a running API: seeds that the platform really has, one run, and what it found."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.api import Api
from local.platform import Platform
from tests.platform.lab import until

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "openapi.json"
_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
GROUP, APPLICATION = "line-3", "web"
_DEPLOYED_S = 120


class ConformanceFailed(Exception):
    """The API could not be seeded, or the run itself went wrong."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found: operations tested, those that gave a 2xx, and every failure in one line each."""

    operations: int
    succeeded: frozenset[str]
    failures: Sequence[str]


def seed(platform: Platform) -> dict[str, list[str]]:
    """Put one of everything into the API and return, by path parameter, what there is.

    Raises:
        ConformanceFailed: the API refused a seed.
    """
    api = Api(platform.api_url, platform.token("Fleet.Admin"))
    devices = sorted(platform.devices)
    group = str(_answer(api.get(f"/devices/{devices[0]}"))["group"])
    wish = {
        "target": {"group": group},
        "applications": [{"name": APPLICATION, "image": "fleetgrass/hello:v1"}],
    }
    deployment = _answer(api.post("/deployments", wish))["id"]

    def deployed() -> bool:
        found = api.get(f"/devices/{devices[0]}")[1]
        return any(each["name"] == APPLICATION for each in found.get("applications", ()))

    if not until(deployed, _DEPLOYED_S):
        raise ConformanceFailed(f"{devices[0]} did not take the deployment within {_DEPLOYED_S} s")
    order = {"reason": "seed"}
    command = _answer(api.post(f"/devices/{devices[0]}/report", order))["id"]
    _answer(api.post("/groups", {"name": "spare"}))
    reboot = _answer(api.post(f"/groups/{group}/reboots", order | {"max_concurrent": 1}))["id"]
    api.post(f"/groups/{group}/reboots/{reboot}/cancel", {})
    return {
        "device": devices,
        "group": [group, "spare"],
        "app": [APPLICATION],
        "command": [command],
        "deployment": [deployment],
        "reboot": [reboot],
        "repository": ["hello"],
    }


def _answer(answer: tuple[int, Mapping[str, Any]]) -> Mapping[str, Any]:
    status, body = answer
    if status >= 300:
        raise ConformanceFailed(f"a seed was answered with {status}: {json.dumps(body)[:300]}")
    return body


def run(
    platform: Platform,
    seeds: Mapping[str, Sequence[str]],
    folder: Path,
    *,
    max_examples: int,
    max_time_s: int,
) -> Found:
    """Run Schemathesis once, its files below ``folder``, and return what it found."""
    (folder / "seeds").mkdir(parents=True)
    for name, values in seeds.items():
        (folder / "seeds" / f"{name}.txt").write_text("".join(f'"{value}"\n' for value in values), "utf-8")
    shutil.copy(_CONFIGURATION, folder / "schemathesis.toml")
    events = folder / "events.ndjson"
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file", str(folder / "schemathesis.toml"), "run", str(DOCUMENT), "--url", platform.api_url,
        "--header", f"Authorization: Bearer {platform.token('Fleet.Admin')}",
        "--max-examples", str(max_examples), "--report-ndjson-path", str(events), "--no-color",
    ]  # fmt: skip
    with (folder / "output.txt").open("w") as output:
        outcome = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, timeout=max_time_s, check=False, cwd=folder,
            env=os.environ | {"NO_PROXY": "127.0.0.1"},
        )  # fmt: skip
    if outcome.returncode not in (0, 1) or not events.exists():
        raise ConformanceFailed(f"schemathesis ended with {outcome.returncode}: see {folder / 'output.txt'}")
    return _read(events)


def _read(events: Path) -> Found:
    """Return what the run's own record of events says."""
    tested: set[str] = set()
    succeeded: set[str] = set()
    failures: dict[tuple[str, str], str] = {}
    for line in events.read_text("utf-8").splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder")
        if recorder is None:
            continue
        cases = recorder.get("cases", {})
        for case_id, interaction in recorder.get("interactions", {}).items():
            operation = _operation_of(cases.get(case_id), recorder["label"])
            tested.add(operation)
            status = (interaction.get("response") or {}).get("status_code", 0)
            if 200 <= status < 300:
                succeeded.add(operation)
        for case_id, checks in recorder.get("checks", {}).items():
            for check in checks:
                if check["status"] == "success":
                    continue
                operation = _operation_of(cases.get(case_id), recorder["label"])
                said = ((check.get("failure_info") or {}).get("failure") or {}).get("message", "")
                failures.setdefault((operation, check["name"]), " ".join(str(said).split())[:200])
    return Found(
        len(tested),
        frozenset(succeeded),
        [f"{operation}: {name}: {said}" for (operation, name), said in sorted(failures.items())],
    )


def _operation_of(case: Mapping[str, Any] | None, label: str) -> str:
    """Return the operation of a case: its scenario's label, but for a scenario of several operations."""
    if label in _TEMPLATES:
        return label
    value = (case or {}).get("value") or {}
    called = f"{value.get('method')} {value.get('path')}"
    return next((operation for operation, pattern in _TEMPLATES.items() if pattern.fullmatch(called)), called)


_TEMPLATES = {
    f"{method.upper()} {path}": re.compile(
        f"{method.upper()} " + re.sub(r"\\{[^}]*\\}", "[^/]*", re.escape(path))
    )
    for path, methods in json.loads(DOCUMENT.read_text("utf-8"))["paths"].items()
    for method in methods
}
