"""``make up`` and ``make down``: one background process holds the platform; its state file says where.

The files are ``local/.state/`` (state, progress, logs) and ``local/.env`` to source.
"""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event
from typing import Any, Literal

import requests

from local.identity_grants import ANY_ROLE_CLIENT
from local.platform import Dialect, Platform
from local.processes import PYTHON, ROOT, machine_environment

FOLDER = ROOT / "local" / ".state"
ENV = ROOT / "local" / ".env"
_STATE, _PROGRESS, _LOG = FOLDER / "state.json", FOLDER / "progress.txt", FOLDER / "supervisor.log"
_UP_S, _DOWN_S = 300.0, 60.0


class NotUp(Exception):
    """The platform is not running, or did not come up; the message says what to do."""


def running() -> dict[str, Any] | None:
    """Return the state of the platform that is up; None when there is none (any more)."""
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        state: dict[str, Any] = json.loads(_STATE.read_text())
        os.kill(state["pid"], 0)
        if "local" in Path(f"/proc/{state['pid']}/cmdline").read_text():
            return state
    return None


def up(dialect: Dialect, engine: Literal["docker", "memory"]) -> dict[str, Any]:
    """Start the platform in the background, show its progress, and return its state.

    Raises:
        NotUp: it ended, or took too long; the message is its own last line.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    _PROGRESS.write_text("")
    with _LOG.open("wb") as log:
        supervisor = subprocess.Popen(
            [PYTHON, "-m", "local", "serve", "--dialect", dialect, "--engine", engine],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env=machine_environment() | {k: v for k, v in os.environ.items() if k == "DOCKER_HOST"},
        )  # fmt: skip
    shown, deadline = 0, time.monotonic() + _UP_S
    try:
        while True:
            ended = supervisor.poll() is not None
            lines = _PROGRESS.read_text().splitlines()
            for line in lines[shown:]:
                print(f"up: {line}", flush=True)
            shown = len(lines)
            state = None if ended else running()
            if state is not None:
                return state
            if ended:
                words = _LOG.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise NotUp(words[-1])
            if time.monotonic() > deadline:
                raise NotUp(f"not up within {_UP_S:.0f} s (log: {_LOG})")
            time.sleep(0.2)
    except BaseException:
        supervisor.terminate()
        supervisor.wait(_DOWN_S)
        raise


def serve(dialect: Dialect, engine: Literal["docker", "memory"]) -> None:
    """Hold the platform in this process until SIGTERM or SIGINT."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1) if not stop.is_set() else None)

    def say(line: str) -> None:
        with _PROGRESS.open("a") as progress:
            progress.write(f"{line}\n")

    with Platform.start(FOLDER / "platform", dialect=dialect, engine=engine, say=say) as platform:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        ENV.write_text(_env(platform))
        ENV.chmod(0o600)
        _write_state(platform, dialect, engine)
        stop.wait()
        _STATE.unlink(missing_ok=True)
        ENV.unlink(missing_ok=True)


def down() -> bool:
    """Stop the platform that is up; return whether there was one.

    Raises:
        NotUp: it did not stop in time.
    """
    state = running()
    if state is None:
        return False
    os.kill(state["pid"], signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_S
    while Path(f"/proc/{state['pid']}").exists():
        if time.monotonic() > deadline:
            raise NotUp(f"process {state['pid']} did not stop within {_DOWN_S:.0f} s (log: {_LOG})")
        time.sleep(0.1)
    return True


def token(role: str) -> str:
    """Return a bearer token with ``role`` from the identity provider of the platform that is up.

    Raises:
        NotUp: no platform is up, or it refuses the role.
    """
    state = running()
    if state is None:
        raise NotUp("the platform is not up: `make up` first")
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            f"{state['issuer_url']}/token",
            auth=(ANY_ROLE_CLIENT, state["client_secret"]),
            data={"grant_type": "client_credentials", "scope": role},
            timeout=10,
        )
    if answer.status_code != 200:
        raise NotUp(f"no token: {answer.json().get('error_description', answer.status_code)}")
    return str(answer.json()["access_token"])


def _write_state(platform: Platform, dialect: str, engine: str) -> None:
    state = {
        "pid": os.getpid(),
        "dialect": dialect,
        "engine": engine,
        "api_url": platform.api_url,
        "issuer_url": platform.issuer_url,
        "client_secret": platform.identity.secret(),
        "devices": {thing: device.publish_address for thing, device in platform.devices.items()},
    }
    temporary = _STATE.with_suffix(".new")
    temporary.touch(0o600)
    temporary.write_text(json.dumps(state, indent=2))
    temporary.rename(_STATE)


def _env(platform: Platform) -> str:
    variables = {"API_URL": platform.api_url, "ISSUER_URL": platform.issuer_url}
    variables |= platform.environment("administrator") | {"DOCKER_HOST": platform.docker_host}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    path = f'export PATH={shlex.quote(str(Path(PYTHON).parent))}:"$PATH"'
    return "\n".join(
        [
            "# The local platform, while it is up. From this repository's root: source local/.env",
            "# A token for the API: python -m local token --role Fleet.Deployer",
            *lines,
            path,
            "",
        ]
    )
