"""Schemathesis against a running API: seeds that the platform really has, one run, and what it found."""

import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.demo.api_client import Api
from tests.support.platform.lab import until

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "openapi.json"
_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
APPLICATION = "web"
_DEPLOYED_S = 120


class ConformanceFailed(Exception):
    """The API could not be seeded, or the run itself went wrong."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found: of each operation its answers by status, links followed, a line for each failure."""

    answers: Mapping[str, Counter[int]]
    links_followed: int
    failures: Sequence[str]

    @property
    def succeeded(self) -> frozenset[str]:
        """The operations that gave a 2xx."""
        return frozenset(name for name, by in self.answers.items() if any(200 <= each < 300 for each in by))

    def against(self) -> list[str]:
        """Return what speaks against the API, or against the run as a proof, in one line each."""
        said = [*self.failures]
        said += [f"{operation} was not tried" for operation in _PATTERNS if operation not in self.answers]
        if 2 * len(self.succeeded) < len(_PATTERNS):
            said.append(f"only {len(self.succeeded)} of {len(_PATTERNS)} operations gave a 2xx")
        if not self.links_followed:
            said.append("no link was followed")
        return said


def seed(api: Api, devices: Sequence[str], group: str, *, loose: str) -> dict[str, list[str]]:
    """Put one of everything into ``group`` and return, by path parameter, what there is.

    ``loose`` is the device that may be moved to other groups and be left in none.

    Raises:
        ConformanceFailed: the API refused a seed, or the first device does not have the application.
    """
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
    spare = _answer(api.post("/groups", {"name": f"{group}-spare"}))["name"]
    reboot = _answer(api.post(f"/groups/{group}/reboots", order | {"max_concurrent": 1}))["id"]
    api.post(f"/groups/{group}/reboots/{reboot}/cancel", {})
    return {
        "device": [*devices],
        "loose": [loose],
        "group": [group, str(spare)],
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
    api_url: str,
    token: str,
    seeds: Mapping[str, Sequence[str]],
    folder: Path,
    *,
    max_time_s: int,
    options: Sequence[str],
) -> Found:
    """Run Schemathesis once with ``options`` of its own, its files below ``folder``; return what it found.

    Raises:
        ConformanceFailed: it did not come to its end, or says that it failed and not at what.
    """
    (folder / "seeds").mkdir(parents=True)
    for name, values in seeds.items():
        (folder / "seeds" / f"{name}.txt").write_text("".join(f'"{value}"\n' for value in values), "utf-8")
    shutil.copy(_CONFIGURATION, folder / "schemathesis.toml")
    events, output = folder / "events.ndjson", folder / "output.txt"
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file", str(folder / "schemathesis.toml"), "run", str(DOCUMENT), "--url", api_url,
        "--header", f"Authorization: Bearer {token}",
        "--report-ndjson-path", str(events), "--no-color", *options,
    ]  # fmt: skip
    try:
        with output.open("w") as file:
            ended = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, timeout=max_time_s, check=False, cwd=folder,
                env=os.environ | {"NO_PROXY": "127.0.0.1"},
            ).returncode  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ConformanceFailed(f"not at its end after {max_time_s} s:\n{_tail(output)}") from None
    found = read(events) if ended in (0, 1) and events.exists() else None
    if found is None or bool(ended) != bool(found.failures):
        raise ConformanceFailed(f"schemathesis ended with {ended}:\n{_tail(output)}")
    return found


def _tail(output: Path) -> str:
    return "\n".join(output.read_text("utf-8").splitlines()[-40:])


def read(events: Path) -> Found:
    """Return what the run's own record of events says."""
    answers: dict[str, Counter[int]] = {}
    failures: dict[tuple[str, str], str] = {}
    links = 0
    for line in events.read_text("utf-8").splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder") or {}
        cases, interactions = recorder.get("cases", {}), recorder.get("interactions", {})
        named = {case: _operation_of(cases.get(case), recorder["label"]) for case in cases | interactions}
        links += sum(bool(case.get("is_transition_applied")) for case in cases.values())
        for case, interaction in interactions.items():
            status = (interaction.get("response") or {}).get("status_code", 0)
            answers.setdefault(named[case], Counter())[status] += 1
        for case, checks in recorder.get("checks", {}).items():
            for check in checks:
                if check["status"] != "success":
                    told = failures.setdefault((named[case], check["name"]), "")
                    failures[named[case], check["name"]] = told or _told(check, interactions.get(case))
    said = [f"{operation}: {check}: {told}" for (operation, check), told in sorted(failures.items())]
    return Found(answers, links, said)


def _told(check: Mapping[str, Any], interaction: Mapping[str, Any] | None) -> str:
    """Return what a check says against an answer, with the request and the answer."""
    message = ((check.get("failure_info") or {}).get("failure") or {}).get("message", "")
    request, response = ((interaction or {}).get(name) or {} for name in ("request", "response"))
    asked = f"{request.get('uri')} {_text(request.get('body'))[:500]}"
    return " ".join(f"{message} | {asked} | {_text(response.get('content'))[:500]}".split())


def _text(content: Mapping[str, str] | None) -> str:
    return b64decode((content or {}).get("$base64", "")).decode(errors="replace")


def _operation_of(case: Mapping[str, Any] | None, label: str) -> str:
    """Return the operation of a case: its scenario's label, but for a scenario of several operations."""
    if label in _PATTERNS:
        return label
    value = (case or {}).get("value") or {}
    called = f"{value.get('method')} {value.get('path')}"
    return next((operation for operation, pattern in _PATTERNS.items() if pattern.fullmatch(called)), called)


_PATTERNS = {
    f"{method.upper()} {path}": re.compile(
        f"{method.upper()} " + re.sub(r"\\{[^}]*\\}", "[^/]*", re.escape(path))
    )
    for path, methods in json.loads(DOCUMENT.read_text("utf-8"))["paths"].items()
    for method in methods
}
OPERATIONS = len(_PATTERNS)
