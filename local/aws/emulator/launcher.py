"""Launcher of ministack, patched, on loopback: ``python -m local.aws.emulator.launcher`` in its virtualenv.

Settings come as environment, most of them ministack's own: GATEWAY_PORT, IOT_MTLS_PORT, MINISTACK_REGION,
TMPDIR; and ours: GREENGRASS_CONTROL_PLANE (URL), REGISTRY_TOKEN_KEY (hex). It runs until SIGTERM or SIGINT,
or until its standard input closes: whoever started it holds the other end, so it cannot be left behind.
"""

import asyncio
import importlib.metadata
import logging
import os
import signal
import sys
import time
from typing import Any

PINNED = "1.5.33"
HOST = "127.0.0.1"

_REQUIRED = ("GATEWAY_PORT", "IOT_MTLS_PORT", "GREENGRASS_CONTROL_PLANE", "REGISTRY_TOKEN_KEY")
_OURS = {
    "BIND_HOST": HOST,
    "AUTH": "true",
    "SFTP_ENABLED": "0",
    "MINISTACK_HOST": "localhost",
    "IOT_MTLS_ENABLED": "1",
    # ministack removes containers that look like its own at start and stop: it sees no engine here.
    "DOCKER_HOST": "unix:///nonexistent/docker.sock",
}


def main() -> None:
    """Run the emulator until it is told to stop; exits with one line when it cannot start."""
    installed = _installed()
    if installed != PINNED:
        sys.exit(f"the emulator is mended for ministack {PINNED}, and {sys.prefix} has {installed}")
    missing = [name for name in _REQUIRED if not os.environ.get(name)]
    if missing:
        sys.exit(f"the emulator needs the environment variable {missing[0]}")
    control_plane = os.environ["GREENGRASS_CONTROL_PLANE"]
    token_key = bytes.fromhex(os.environ.pop("REGISTRY_TOKEN_KEY"))  # Lambdas inherit the rest
    os.environ.update(_OURS)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_serve(control_plane, token_key))


def _installed() -> str:
    try:
        return importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError:
        return "no ministack"


async def _serve(control_plane: str, token_key: bytes) -> None:
    # Imported here: ministack reads its environment while it is imported.
    from hypercorn.asyncio import serve  # type: ignore[import-not-found,unused-ignore]
    from hypercorn.config import Config  # type: ignore[import-not-found,unused-ignore]
    from ministack.app import app
    from ministack.core import lambda_runtime

    from local.aws.emulator.cors import mend_cors
    from local.aws.emulator.greengrass_gate import GreengrassGate
    from local.aws.emulator.lambda_code import mend_code_folders
    from local.aws.emulator.mqtt import (
        mend_client_certificate,
        mend_keep_alive,
        mend_listener,
        mend_subscribe,
    )
    from local.aws.emulator.output import mend_output_wait
    from local.aws.emulator.rules import mend_republish, mend_rule_to_lambda

    mend_listener(HOST)
    mend_client_certificate()
    mend_keep_alive()
    mend_subscribe()
    mend_registry_tokens(token_key)
    mend_registry_listing()
    mend_transport()
    mend_code_folders()
    mend_output_wait()
    mend_cors()
    mend_republish()
    invokes = mend_rule_to_lambda()

    config = Config()
    config.bind = [f"{HOST}:{os.environ['GATEWAY_PORT']}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.shutdown_timeout = 5
    await serve(GreengrassGate(app, control_plane), config, shutdown_trigger=_told_to_stop)
    invokes.close()
    await asyncio.to_thread(lambda_runtime.reset)  # ends the Lambdas' processes and removes their folders
    logging.shutdown()
    os._exit(0)  # asyncio would wait, for minutes, for the threads of requests that nobody waits for any more


def mend_registry_tokens(key: bytes) -> None:
    """Make every GetAuthorizationToken issue a token of its own, which the registry front can judge."""
    import base64

    from ministack.core.responses import get_account_id, get_region, json_response
    from ministack.services import ecr

    from local.docker.registry_tokens import LIFETIME_S, issue

    def get_authorization_token(_: object) -> object:
        now = time.time()
        token = base64.b64encode(f"AWS:{issue(key, int(now * 1000))}".encode()).decode()
        host = f"{get_account_id()}.dkr.ecr.{get_region()}.amazonaws.com"
        data = {
            "authorizationToken": token,
            "expiresAt": int(now) + LIFETIME_S,
            "proxyEndpoint": f"https://{host}",
        }
        return json_response({"authorizationData": [data]})

    ecr._get_authorization_token = get_authorization_token


def mend_registry_listing() -> None:
    """Judge the listing of repositories by all of them, as AWS does, where the emulator knows no resource."""
    from ministack.core import iam_actions
    from ministack.core.responses import get_account_id, get_region

    resource_of = iam_actions.extract_resource_arn

    def with_repositories(service: str, *request: Any, **named: Any) -> str:
        found = str(resource_of(service, *request, **named))
        target = str(request[2].get("x-amz-target", "")) if service == "ecr" and found == "*" else ""
        if target.endswith(".DescribeRepositories"):
            return f"arn:aws:ecr:{get_region()}:{get_account_id()}:repository/*"
        return found

    iam_actions.extract_resource_arn = with_repositories


def mend_transport() -> None:
    """Count plain HTTP on loopback as encrypted transport, which the template's bucket policy demands."""
    from ministack import app

    pin = app.pin_request_origin
    app.pin_request_origin = lambda source_ip, _: pin(source_ip, True)


async def _told_to_stop() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if not sys.stdin.isatty():
        loop.add_reader(sys.stdin, _on_input, loop, stop)
    await stop.wait()


def _on_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin)
        stop.set()


if __name__ == "__main__":
    main()
