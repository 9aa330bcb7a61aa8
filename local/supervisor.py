"""``make up`` and ``make down``: one background process holds the platform; its state file says where.

The files are ``local/.state/`` (state, progress, logs) and ``local/.env`` to source. The state file names the
process from its first moment; it has the addresses only while the platform is up.
"""

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Any, Literal

import requests

from local.identity.grants import ANY_ROLE_CLIENT
from local.platform import Dialect, Platform
from local.process import crash_cleanup
from local.process.children import PYTHON, ROOT, machine_environment, started

FOLDER = ROOT / "local" / ".state"
ENV = ROOT / "local" / ".env"
_STATE, _PROGRESS, _LOG = FOLDER / "state.json", FOLDER / "progress.txt", FOLDER / "supervisor.log"
_UP_S, _DOWN_S = 600.0, 60.0


class NotUp(Exception):
    """The platform is not running, or did not come up; the message says what to do."""


def running() -> dict[str, Any] | None:
    """Return the state of the platform that is up; None when there is none (any more)."""
    state = _alive()
    return state if state and "api_url" in state else None


def up(dialect: Dialect, engine: Literal["docker", "memory"]) -> dict[str, Any]:
    """Start the platform in the background, show its progress, and return its state.

    Raises:
        NotUp: it ended, took too long, or is on its way already; the message is its own last line.
    """
    if state := _alive():
        raise NotUp(f"process {state['pid']} is starting or stopping it; `make down` stops that")
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
                raise NotUp(words[-1].removeprefix("serve: "))
            if time.monotonic() > deadline:
                raise NotUp(f"not up within {_UP_S:.0f} s (log: {_LOG})")
            time.sleep(0.2)
    except BaseException:
        supervisor.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            supervisor.wait(_DOWN_S)
        raise


def serve(dialect: Dialect, engine: Literal["docker", "memory"]) -> None:
    """Hold the platform in this process until SIGTERM or SIGINT."""
    stop, is_up = Event(), False

    def leave(*_: object) -> None:
        if not stop.is_set() and not is_up:
            stop.set()
            sys.exit(1)
        stop.set()

    def say(line: str) -> None:
        with _PROGRESS.open("a") as progress:
            progress.write(f"{line}\n")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    with _the_only_one() as me:
        platform_folder = FOLDER / "platform"
        shutil.rmtree(platform_folder, ignore_errors=True)  # the logs of one that failed
        with Platform.start(platform_folder, dialect=dialect, engine=engine, say=say) as platform:
            is_up = True
            ENV.touch(0o600)
            ENV.write_text(_env(platform))
            _write_state(me | _addresses(platform, dialect, engine))
            stop.wait()
            _write_state(me)


def down(say: Callable[[str], None]) -> bool:
    """Stop the platform that is up or on its way, and remove what a killed one left.

    Returns whether there was any of these.

    Raises:
        NotUp: it did not stop in time.
    """
    state = _alive()
    if state is not None:
        os.kill(state["pid"], signal.SIGTERM)
        deadline = time.monotonic() + _DOWN_S
        while started(state["pid"]) == state["started"]:
            if time.monotonic() > deadline:
                raise NotUp(f"process {state['pid']} did not stop within {_DOWN_S:.0f} s (log: {_LOG})")
            time.sleep(0.1)
    killed = crash_cleanup.clear(say)
    for file in (_STATE, ENV):
        file.unlink(missing_ok=True)
    return state is not None or killed > 0


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


def _alive() -> dict[str, Any] | None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        state: dict[str, Any] = json.loads(_STATE.read_text())
        if started(state["pid"]) == state["started"]:
            return state
    return None


@contextlib.contextmanager
def _the_only_one() -> Iterator[dict[str, Any]]:
    """Hold the state file, with this process in it, against a second ``make up`` of the same moment."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotUp("another `make up` is starting it") from None
        me = {"pid": os.getpid(), "started": started(os.getpid())}
        _write_state(me)
        try:
            yield me
        finally:
            for file in (_STATE, ENV):
                file.unlink(missing_ok=True)


def _addresses(platform: Platform, dialect: str, engine: str) -> dict[str, Any]:
    return {
        "dialect": dialect,
        "engine": engine,
        "api_url": platform.api_url,
        "issuer_url": platform.issuer_url,
        "client_secret": platform.identity.secret(),
        "devices": {thing: device.publish_address for thing, device in platform.devices.items()},
    }


def _write_state(state: Mapping[str, Any]) -> None:
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
