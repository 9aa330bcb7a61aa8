"""The local platform's command line: ``python -m local up|down|status|token|demo|with-engine``.

Exit codes: 0 done, 1 it could not be done (one line says why), 2 wrong usage.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from rich.console import Console

from local import supervisor
from local.demo.demo import tell
from local.demo.narration import Story, Untrue
from local.docker.engine import EngineUnavailable, obtain
from local.platform import Dialect, Platform
from local.process.children import DidNotStart, PortInUse
from local.process.crash_cleanup import EngineTaken

_PLAIN = (supervisor.NotUp, EngineTaken, EngineUnavailable, DidNotStart, PortInUse, Untrue)


def main(arguments: list[str]) -> int:
    """Run one command; whatever a user can mend is one line, never a stack."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except _PLAIN as error:
        print(f"{options.command}: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print(f"{options.command}: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local", description="fleetgrass' whole platform on this machine"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run, text in (
        ("demo", _demo, "tell the main job end to end, checking every line, then remove everything"),
        ("up", _up, "start the platform with two devices and leave it running"),
        ("serve", _serve, "hold the platform in this process (what `up` starts)"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--dialect", choices=get_args(Dialect), default="classic",
                             help="of the cores")  # fmt: skip
        command.add_argument("--engine", choices=("docker", "memory"), default="docker",
                             help="memory: simulated containers, no Docker needed")  # fmt: skip
        command.set_defaults(run=run)
    commands.add_parser("down", help="stop what `up` started").set_defaults(run=_down)
    commands.add_parser("status", help="say whether the platform is up").set_defaults(run=_status)
    command = commands.add_parser("token", help="print a bearer token for the API")
    command.add_argument("--role", default="Fleet.Reader", metavar="ROLE",
                         help="Fleet.Reader, .Operator, .Deployer or .Admin; `:GROUP` scopes it")  # fmt: skip
    command.set_defaults(run=_token)
    command = commands.add_parser("with-engine", help="run a command with a Docker Engine in DOCKER_HOST")
    command.add_argument("argv", nargs="+", metavar="WORD")
    command.set_defaults(run=_with_engine)
    return parser


def _demo(options: argparse.Namespace) -> None:
    console = Console(soft_wrap=True)
    simulated = options.engine == "memory"
    story = Story(console, simulated=simulated)
    folder = Path(tempfile.mkdtemp(prefix="fleetgrass-demo-"))
    _end_in_order(console)
    story.chapter(f"The platform: the {options.dialect} core, {options.engine} engine")
    try:
        platform = Platform.start(folder, dialect=options.dialect, engine=options.engine, say=story.note)
        with platform:
            try:
                tell(platform, story)
            except Untrue:
                _keep_logs(folder, console)
                raise
            story.chapter("Tear down")
    except DidNotStart as error:
        logs = _keep_logs(folder, console)
        raise DidNotStart(str(error).replace(f"{folder}/logs", str(logs))) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    left = platform.leftovers()
    story.claim("nothing is left behind", not left, ", ".join(left))
    console.print(
        f"\ndemo: OK ({story.claims} claims checked)" + (", containers simulated" if simulated else "")
    )


def _end_in_order(console: Console) -> None:
    """Have the first signal to end unwind everything, and further ones wait for that."""

    def end(*_: object) -> None:
        for number in ends:
            signal.signal(number, lambda *_: None)
        console.print("\n  [dim]stopping: removing everything that was made[/dim]")
        raise KeyboardInterrupt

    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in ends:
        signal.signal(number, end)


def _keep_logs(folder: Path, console: Console) -> Path:
    logs = folder.with_name(f"{folder.name}-logs")
    shutil.copytree(folder / "logs", logs, dirs_exist_ok=True)
    console.print(f"  [dim]the logs are kept in {logs}[/dim]")
    return logs


def _up(options: argparse.Namespace) -> None:
    state = supervisor.running()
    if state is not None:
        print(f"up: it is up already: {state['api_url']} (stop it with `make down`)")
        return
    state = supervisor.up(options.dialect, options.engine)
    url = state["api_url"]
    devices = ", ".join(f"{thing} (its ports on {address})" for thing, address in state["devices"].items())
    print(
        f"up: the API is at {url}; devices: {devices}\n\n"
        "  source local/.env\n"
        "  TOKEN=$(python -m local token --role Fleet.Deployer)\n"
        '  curl -H "Authorization: Bearer $TOKEN" "$API_URL/devices"\n\n'
        "up: stop it with `make down`"
    )


def _serve(options: argparse.Namespace) -> None:
    supervisor.serve(options.dialect, options.engine)


def _down(_: argparse.Namespace) -> None:
    stopped = supervisor.down(lambda line: print(f"down: {line}", flush=True))
    print("down: stopped" if stopped else "down: the platform is not up")


def _status(_: argparse.Namespace) -> int:
    state = supervisor.running()
    print(f"status: up, {state['api_url']}" if state else "status: not up")
    return 0 if state else 1


def _token(options: argparse.Namespace) -> None:
    print(supervisor.token(options.role))


def _with_engine(options: argparse.Namespace) -> int:
    """Run the command with an engine; without one, say so and run it anyway, but never in CI."""
    try:
        engine = obtain(lambda line: print(f"engine: {line}", flush=True))
    except EngineUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        print(f"engine: {error}\nengine: tests that need one are skipped", flush=True)
        return _outlive(options.argv, os.environ)
    try:
        return _outlive(options.argv, os.environ | {"DOCKER_HOST": engine.docker_host})
    finally:
        engine.stop()


def _outlive(argv: list[str], environment: Mapping[str, str]) -> int:
    """Run a command and return its exit code, with the time it needs to clean up when it is interrupted.

    Ctrl-C reaches it from the terminal itself; other signals to end are passed on as that.
    """
    with subprocess.Popen(argv, env=environment) as process:
        signal.signal(signal.SIGINT, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: process.send_signal(signal.SIGINT))
        return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
