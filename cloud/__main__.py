"""The administrator's command line: ``python -m cloud build | deploy | enroll | upgrade-agent | …``.

AWS is found as every AWS tool finds it (profile, environment, AWS_ENDPOINT_URL). The result goes to
standard output (one JSON object with ``--json``), progress to standard error; 0 done, 1 refused or
failed with one reason, 2 wrong usage.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from cloud.auth.issuers import BadConfiguration, parse_issuers, parse_role_names
from cloud.aws.account import Account
from cloud.aws.errors import CloudError
from cloud.aws.greengrass import Greengrass
from cloud.domain.deployments.greengrass_components import AgentUnpublished
from cloud.http.openapi_document import DOCUMENT
from cloud.tables.deployments import Deployments
from cloud.tables.devices import Devices
from cloud.tables.memberships import Memberships
from cloud.tooling import build, enroll, stack, upgrade_agent
from cloud.tooling.device_files import DeviceFiles
from contract.names import COMPONENT, Nucleus

_DEFAULT_STACK = "fleetgrass"
_EXPECTED = (
    build.BuildFailed, stack.StackFailed, enroll.EnrolmentRefused, upgrade_agent.UpgradeRefused, CloudError,
    BadConfiguration,
)  # fmt: skip
#: Parameters that only a function would read: refused here, before anything is built.
_CHECKED: Mapping[str, Callable[..., object]] = {"Issuers": parse_issuers, "RoleNames": parse_role_names}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit status."""
    options = _parser().parse_args(arguments)
    level = logging.WARNING if options.json else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    command: Callable[[argparse.Namespace], dict[str, object]] = options.command
    try:
        result = command(options)
    except _EXPECTED as error:
        return _failed(f"{error}")
    except ClientError as error:
        return _failed(f"AWS refused {error.operation_name}: {error.response['Error'].get('Message', error)}")
    except BotoCoreError as error:
        return _failed(f"AWS cannot be used: {error}")
    except OSError as error:
        return _failed(f"{error.filename or 'file'}: {error.strerror}")
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name}: {json.dumps(value) if isinstance(value, dict | list | tuple) else value}")
    return 0


def _failed(reason: str) -> int:
    print(f"cloud: {reason}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cloud", description="Build and deploy the cloud side, and enrol devices."
    )
    commands = parser.add_subparsers(
        required=True, metavar="build | deploy | enroll | upgrade-agent | template | openapi"
    )

    building = _command(commands, "build", _build, "make the functions' zip")
    _target(building)

    deploying = _command(commands, "deploy", _deploy, "build, then create or update the stack")
    _target(deploying)
    deploying.add_argument("--stack", default=_DEFAULT_STACK, help="name of the stack (%(default)s)")
    deploying.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", type=_assignment,
        help="a parameter of cloud/template.yaml; what is not given keeps its value",
    )  # fmt: skip

    enrolling = _command(commands, "enroll", _enroll, "make a device of the fleet, and its files")
    enrolling.add_argument("--stack", default=_DEFAULT_STACK, help="name of the stack (%(default)s)")
    enrolling.add_argument("--thing", required=True, help="name of the device")
    enrolling.add_argument("--group", required=True, help="the group that is deployed to")
    enrolling.add_argument(
        "--nucleus", choices=[kind.value for kind in Nucleus],
        help="which nucleus the device has, and so all of the group; once said or reported it stays "
        "(as the group is; where that is not known, its first deployment is as for classic)",
    )  # fmt: skip
    enrolling.add_argument("--out", required=True, type=Path, help="folder for the device's files")

    upgrading = _command(
        commands, "upgrade-agent", _upgrade_agent, "bring a group's devices to another version of the agent"
    )
    upgrading.add_argument("--stack", default=_DEFAULT_STACK, help="name of the stack (%(default)s)")
    upgrading.add_argument("--group", required=True, help="the group that is deployed to")
    upgrading.add_argument(
        "--version",
        help="of the component (the stack's AgentVersion; where that is empty, the newest published)",
    )

    _command(
        commands, "template", _template, "make cloud/template.yaml of its sources in cloud/infrastructure/"
    )
    _command(commands, "openapi", _openapi, "make docs/openapi.json of the routes and models")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], dict[str, object]],
    what: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=what)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.set_defaults(command=run)
    return parser


def _target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--python", default="3.13", help="the Lambda runtime's Python (%(default)s)")
    parser.add_argument("--architecture", default="arm64", choices=["arm64", "x86_64"], help="(%(default)s)")
    parser.add_argument("--build-folder", type=Path, help="where zips and wheels are kept (build/)")


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f'"{text}" is not NAME=VALUE')
    return name, value


def _zip(options: argparse.Namespace) -> Path:
    target = build.Target(options.python, options.architecture)
    return build.build(target, build_folder=options.build_folder)


def _build(options: argparse.Namespace) -> dict[str, object]:
    archive = _zip(options)
    return {"zip": str(archive), "bytes": archive.stat().st_size}


def _deploy(options: argparse.Namespace) -> dict[str, object]:
    for name, value in options.parameter:
        if name in _CHECKED:
            _CHECKED[name](value, name=name)
    session = boto3.Session()
    clients = stack.Clients(
        cloudformation=session.client("cloudformation"),
        s3=session.client("s3"),
        sts=session.client("sts"),
        region=session.client("s3").meta.region_name,
    )
    parameters = {
        "Runtime": f"python{options.python}",
        "Architecture": options.architecture,
        **dict(options.parameter),
    }
    outputs = stack.deploy(clients, options.stack, _zip(options), parameters)
    if outputs.get("AgentVersion"):
        return dict(outputs)
    return {**outputs, "NewestAgentVersion": _newest_agent(session)}


def _newest_agent(session: boto3.Session) -> str:
    """Return the agent version of a stack that names none; a text where none is published.

    The stack is as it shall be: this fails nothing.
    """
    greengrass, identity = session.client("greengrassv2"), session.client("sts").get_caller_identity()
    account = Account(identity["Arn"].split(":")[1], greengrass.meta.region_name, identity["Account"])
    try:
        found = Greengrass(greengrass).newest(account.component_arn(COMPONENT))
    except CloudError as error:
        return f"not known: {error}"
    return found or str(AgentUnpublished())


def _enroll(options: argparse.Namespace) -> dict[str, object]:
    session = boto3.Session()
    outputs = stack.outputs(session.client("cloudformation"), options.stack)
    iot, dynamodb = session.client("iot"), session.client("dynamodb")
    clients = enroll.Clients(
        iot=iot,
        greengrass=session.client("greengrassv2"),
        devices=Devices(dynamodb, outputs["DevicesTable"]),
        memberships=Memberships(dynamodb, outputs["DevicesTable"]),
        region=iot.meta.region_name,
    )
    files = DeviceFiles(options.out)
    nucleus = None if options.nucleus is None else Nucleus(options.nucleus)
    return asdict(
        enroll.enroll(
            clients, outputs, thing=options.thing, group=options.group, files=files, nucleus=nucleus
        )
    )


def _upgrade_agent(options: argparse.Namespace) -> dict[str, object]:
    session = boto3.Session()
    outputs = stack.outputs(session.client("cloudformation"), options.stack)
    dynamodb = session.client("dynamodb")
    clients = upgrade_agent.Clients(
        iot=session.client("iot"),
        greengrass=Greengrass(session.client("greengrassv2")),
        deployments=Deployments(dynamodb, outputs["DeploymentsTable"]),
        devices=Devices(dynamodb, outputs["DevicesTable"]),
    )
    version = options.version or outputs.get("AgentVersion", "")
    return asdict(upgrade_agent.upgrade_agent(clients, group=options.group, version=version))


def _template(options: argparse.Namespace) -> dict[str, object]:  # noqa: ARG001
    from cloud.tooling import template  # needs PyYAML, which a deployment does not

    text = template.render()
    changed = text != template.TEMPLATE.read_text("utf-8")
    if changed:
        template.TEMPLATE.write_text(text, "utf-8")
    return {"template": template.TEMPLATE.name, "changed": changed}


def _openapi(options: argparse.Namespace) -> dict[str, object]:  # noqa: ARG001
    from cloud.openapi import document  # imports every function's models, which a deployment does not need

    text = document.text()
    changed = not DOCUMENT.exists() or text != DOCUMENT.read_text("utf-8")
    if changed:
        DOCUMENT.write_text(text, "utf-8")
    return {"document": DOCUMENT.name, "changed": changed}


if __name__ == "__main__":
    sys.exit(main())
