"""``/greengrass/v2/*`` on the emulator's port: checked as AWS checks it, then forwarded to the control plane.

The emulator has no Greengrass v2. Here a call is authenticated (SigV4) and authorised by the emulator's
own IAM evaluator, so that a Lambda's role is judged for Greengrass like for everything else.
What a core device calls with its certificate on AWS (DEVICE_PATHS) is let through unsigned: the
emulator has no HTTPS endpoint with client certificates. Signed, it is checked as anything else.
"""

import asyncio
import base64
import binascii
import http.client
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.loaders import Loader
from ministack import app as ministack_app
from ministack.core import iam_evaluator, responses, router

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
_Answer = tuple[int, list[tuple[bytes, bytes]], bytes]

DEVICE_PATHS = re.compile(
    "/greengrass/v2/(resolveComponentCandidates|_coreDeviceStatus|coreDevices/[^/]+/thingGroups)"
)

#: The IoT permissions that CreateDeployment to a group needs beside its own (service authorization reference,
#: AWS IoT Greengrass V2, dependent actions), each with the kind of resource it is checked on.
_DEPLOYMENT_NEEDS = (
    ("iot:CreateJob", "target"),
    ("iot:CreateJob", "job"),
    ("iot:DescribeJob", "job"),
    ("iot:CancelJob", "job"),
)
#: The same for a deployment to one thing, which is no job but what its shadow wants.
_THING_DEPLOYMENT_NEEDS = (("iot:GetThingShadow", "target"), ("iot:UpdateThingShadow", "target"))
_FORWARD_TIMEOUT_S = 60.0
_RECIPE_NAME = re.compile(rb"""ComponentName["']?\s*:\s*["']?([A-Za-z0-9._-]+)""")


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the IAM evaluator."""

    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class _Operation:
    name: str
    method: str
    path: re.Pattern[str]


def _operations() -> tuple[_Operation, ...]:
    """Every operation of Greengrass v2, read from botocore's own model of the service."""
    model = Loader().load_service_model("greengrassv2", "service-2")
    found = []
    for name, operation in model["operations"].items():
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(operation["http"]["requestUri"]))
        found.append(_Operation(name, operation["http"]["method"], re.compile(f"^{pattern}$")))
    return tuple(found)


class GreengrassGate:
    """ASGI: answers ``/greengrass/*`` and leaves every other request to ``application``."""

    def __init__(self, application: Application, control_plane: str) -> None:
        self._application = application
        address = urlsplit(control_plane)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._operations = _operations()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/greengrass/"):
            await self._application(scope, receive, send)
            return
        body = await _read(receive)
        refusal, principal = self._judge(scope, body)
        if refusal is None:
            status, headers, answer = await asyncio.to_thread(self._forward, scope, body, principal)
        else:
            status, headers, answer = refusal
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _judge(self, scope: Scope, body: bytes) -> tuple[_Answer | None, str]:
        """Return a refusal or None, and who is asking."""
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        raw_path = _raw_path(scope)
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        access_key = router.extract_access_key_id(headers, query)
        if not access_key and DEVICE_PATHS.fullmatch(raw_path):
            return None, ""
        if access_key:
            responses.set_request_account_id(ministack_app._request_account_scope(access_key))
        region = router.extract_region(headers, query)
        responses.set_request_region(region)
        client = (scope.get("client") or ("127.0.0.1",))[0]
        ministack_app.pin_request_origin(client, True)
        iam_evaluator.pin_signed_request(scope["method"], raw_path, query, scope["headers"])
        iam_evaluator.pin_signed_body(body)

        operation, parameters = self._find(scope["method"], raw_path)
        checks = _checks(operation, parameters, body, region, responses.get_account_id())
        for check in checks:
            denied = iam_evaluator.enforce(
                access_key, check.action, check.action.partition(":")[0], region, resource_arn=check.resource
            )
            if isinstance(denied, iam_evaluator.AuthError):
                return _refusal(403, denied.code, denied.message), ""
            if denied:
                message = f"User: {denied.principal_arn} is not authorized to perform: {check.action}"
                return _refusal(403, "AccessDeniedException", f"{message} on resource: {check.resource}"), ""
        return None, iam_evaluator.request_caller_arn(headers, query)

    def _find(self, method: str, raw_path: str) -> tuple[str, Mapping[str, str]]:
        for operation in self._operations:
            match = operation.path.match(raw_path) if operation.method == method else None
            if match:
                return operation.name, {key: unquote(value) for key, value in match.groupdict().items()}
        return "Unknown", {}  # only root may go on; the control plane answers it

    def _forward(self, scope: Scope, body: bytes, principal: str) -> _Answer:
        query = scope["query_string"].decode("latin-1")
        target = _raw_path(scope) + (f"?{query}" if query else "")
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name.lower() not in (b"host", b"authorization", b"connection", b"expect", b"transfer-encoding")
            and name.lower() not in (b"content-length", b"x-principal-arn", b"x-amz-security-token")
        }
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_FORWARD_TIMEOUT_S)
        try:
            connection.request(scope["method"], target, body, headers | {"x-principal-arn": principal})
            response = connection.getresponse()
            kept = ("content-type", "x-amzn-errortype", "x-amzn-requestid", "retry-after")
            answered = [(k.encode(), v.encode()) for k, v in response.getheaders() if k.lower() in kept]
            return response.status, answered, response.read()
        except (OSError, http.client.HTTPException) as error:
            log.error("greengrass control plane does not answer: error=%s", error)
            return _refusal(
                503, "ServiceUnavailableException", "the Greengrass control plane does not answer"
            )
        finally:
            connection.close()


def _checks(
    operation: str, parameters: Mapping[str, str], body: bytes, region: str, account: str
) -> tuple[Check, ...]:
    own = Check(f"greengrass:{operation}", _resource(operation, parameters, body, region, account))
    if operation != "CreateDeployment":
        return (own,)
    resources = {"target": _target(body), "job": f"arn:aws:iot:{region}:{account}:job/*"}
    needs = _THING_DEPLOYMENT_NEEDS if ":thing/" in resources["target"] else _DEPLOYMENT_NEEDS
    return (own, *(Check(action, resources[kind]) for action, kind in needs))


def _resource(operation: str, parameters: Mapping[str, str], body: bytes, region: str, account: str) -> str:
    """The ARN an operation is checked on, or ``*`` for one that takes none."""
    prefix = f"arn:aws:greengrass:{region}:{account}"
    if "arn" in parameters:
        return parameters["arn"]
    if "deploymentId" in parameters:
        return f"{prefix}:deployments:{parameters['deploymentId']}"
    if "coreDeviceThingName" in parameters:
        return f"{prefix}:coreDevices:{parameters['coreDeviceThingName']}"
    if operation == "CreateComponentVersion":
        return f"{prefix}:components:{_component_name(body)}"
    return "*"


def _component_name(body: bytes) -> str:
    try:
        recipe = base64.b64decode(json.loads(body).get("inlineRecipe", ""))
    except (ValueError, binascii.Error, AttributeError):
        return ""  # matches no policy but "*"; the control plane says what is wrong with it
    match = _RECIPE_NAME.search(recipe)
    return match[1].decode() if match else ""


def _target(body: bytes) -> str:
    try:
        return str(json.loads(body)["targetArn"])
    except (ValueError, KeyError, TypeError):
        return "*"


def _refusal(status: int, code: str, message: str) -> _Answer:
    headers = [(b"content-type", b"application/json"), (b"x-amzn-errortype", code.encode())]
    return status, headers, json.dumps({"message": message}).encode()


def _raw_path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1").partition("?")[0]


async def _read(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)
