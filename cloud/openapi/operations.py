"""The schemas by route: each operation's query parameters, body, answer and problems, and what it is for.

The OpenAPI description is made of it and of ``cloud.auth.routes``, and every answer in a test is held against
it. Query parameters and bodies are the models by which the handlers themselves parse.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from cloud.functions.audit import export_audit, list_audit, verify_audit
from cloud.functions.commands import (
    collect_logs,
    list_commands,
    reboot_device,
    request_report,
    restart_application,
    retry_application,
    rotate_secrets,
)
from cloud.functions.deployments import list_deployments
from cloud.functions.devices import get_device_history, list_devices
from cloud.functions.group_reboots import cancel_group_reboot, get_group_reboot, reboot_group
from cloud.functions.groups import add_device_to_group, create_group, list_groups
from cloud.functions.images import get_image, list_images
from cloud.http.deployment_request import DeploymentRequest
from cloud.http.query import Query
from cloud.openapi.models import answers, audit, commands, deployments, devices, groups, images


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; ``problems`` are the error statuses that only it has, with their codes."""

    tag: str
    summary: str
    response: type[BaseModel] | None
    status: int = 200
    request: type[BaseModel] | None = None
    example: Mapping[str, Any] | None = None
    body_optional: bool = False
    query: type[Query] | None = None
    problems: Mapping[int, str] = field(default_factory=dict)
    location: bool = False
    description: str = ""
    media_type: str = "application/json"
    links: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[str, ...] = ()  # further ones of its answer
    conditional: bool = False  # takes If-Match and If-None-Match, of a target's newest revision
    cached: bool = False  # answers an ETag, and 304 to a caller that has it already
    idempotent: bool = False  # by itself: an Idempotency-Key is taken and not remembered


_NO_DEVICE = {404: "`device-not-found`"}
_WHY = {"reason": "the conveyor stands still"}


def _command(
    summary: str, request: type[BaseModel], *, of_application: bool = True, **more: Any
) -> Operation:
    missing = "`device-not-found`, `application-not-found`" if of_application else "`device-not-found`"
    return Operation(
        tag="commands",
        summary=summary,
        description="202 once the broker has accepted it; follow its progress at the command's Location.",
        response=commands.CommandAccepted,
        status=202,
        request=request,
        example=more.pop("example", _WHY),
        problems={
            404: missing,
            409: "`device-offline`: the device would not receive it",
            422: "`command-too-large`, or the Idempotency-Key was used before with a different request",
            503: "`not-sent`: the broker did not accept it; or a service behind this one did not answer",
        },
        location=True,
        links=_FOLLOW,
        **more,
    )


_FOLLOW = {
    "progress": {
        "operationId": "get-command",
        "parameters": {"device": "$request.path.device", "command": "$response.body#/id"},
    }
}
_TO_DEPLOYMENT = {
    "progress": {"operationId": "get-deployment", "parameters": {"deployment": "$response.body#/id"}}
}
_REBOOT_PATH = {"group": "$request.path.group", "reboot": "$response.body#/id"}

OPERATIONS: Mapping[str, Operation] = {
    "GET /devices": Operation(
        "devices", "List devices", devices.DevicePage,
        query=list_devices.DevicesQuery,
        problems={404: "`group-not-found`: no device is enrolled in it"},
    ),
    "GET /devices/{device}": Operation(
        "devices", "Get everything known about a device", devices.DeviceDetail, problems=_NO_DEVICE
    ),
    "GET /devices/{device}/why": Operation(
        "devices", "Explain why a device is, or is not, on its desired revision", devices.Explanation,
        problems=_NO_DEVICE,
    ),
    "GET /devices/{device}/history": Operation(
        "devices", "Get a device's key figures over the last day", devices.History,
        query=get_device_history.HistoryQuery,
        problems=_NO_DEVICE,
    ),
    "POST /devices/{device}/reboot": _command(
        "Reboot a device, with proof", reboot_device.RebootRequest, of_application=False
    ),
    "POST /devices/{device}/report": _command(
        "Have a device report at once", request_report.ROUTE.body, of_application=False
    ),
    "POST /devices/{device}/applications/{app}/restart": _command(
        "Restart an application", restart_application.ROUTE.body
    ),
    "POST /devices/{device}/applications/{app}/retry": _command(
        "Retry at once what failed or waits for a retry", retry_application.ROUTE.body
    ),
    "POST /devices/{device}/applications/{app}/logs": _command(
        "Collect an application's logs", collect_logs.ROUTE.body
    ),
    "POST /devices/{device}/applications/{app}/rotate-secrets": _command(
        "Fetch an application's secrets anew", rotate_secrets.ROUTE.body
    ),
    "GET /devices/{device}/commands": Operation(
        "commands", "List a device's commands, newest first", commands.CommandPage,
        query=list_commands.CommandsQuery,
        problems=_NO_DEVICE,
    ),
    "GET /devices/{device}/commands/{command}": Operation(
        "commands", "Get a command's state, with its proof", commands.Command,
        problems={404: "`device-not-found`, `command-not-found`"},
    ),
    "GET /groups": Operation(
        "groups", "List groups", groups.GroupPage,
        query=list_groups.GroupsQuery,
    ),
    "POST /groups": Operation(
        "groups", "Create a group", groups.GroupCreated, 201, create_group.GroupWish,
        {"name": "line-4", "description": "the fourth line", "nucleus": "lite"},
        problems={409: "`group-exists`"},
    ),
    "PUT /groups/{group}/devices/{device}": Operation(
        "groups", "Put a device into a group", groups.DevicePlaced,
        query=add_device_to_group.MoveQuery,
        problems={
            404: "`device-not-found`, `group-not-found`",
            409: "`device-in-group` without `?move=true`; `membership-conflict`; `nucleus-mismatch` where "
            "the group has the other nucleus, `group-needs-deployment` where the device would keep the "
            "old group's applications, `agent-too-old` where the group's deployment would fail on it: "
            "each says what to do",
        },
    ),
    "DELETE /groups/{group}/devices/{device}": Operation(
        "groups", "Take a device out of a group", None, 204,
        problems={404: "`device-not-found`, `device-not-in-group`", 409: "`membership-conflict`"},
    ),
    "POST /groups/{group}/reboots": Operation(
        "groups", "Reboot a group's devices in waves", groups.GroupRebootSubmitted, 202,
        reboot_group.GroupRebootRequest,
        {"reason": "kernel update", "max_concurrent": 5, "stop_after_failures": 2},
        problems={404: "`group-not-found`", 409: "`group-reboot-running`"}, location=True,
        links={
            "progress": {"operationId": "get-group-reboot", "parameters": _REBOOT_PATH},
            "cancel": {"operationId": "cancel-group-reboot", "parameters": _REBOOT_PATH},
        },
    ),
    "GET /groups/{group}/reboots/{reboot}": Operation(
        "groups", "Get the progress of a group reboot", groups.GroupReboot,
        query=get_group_reboot.MembersQuery,
        problems={404: "`group-reboot-not-found`"},
    ),
    "POST /groups/{group}/reboots/{reboot}/cancel": Operation(
        "groups", "Cancel a group reboot: start no further device", groups.GroupRebootCancelled, 202,
        cancel_group_reboot.CancelRequest, {"reason": "one did not come back"}, body_optional=True,
        idempotent=True, location=True,
        problems={404: "`group-reboot-not-found`", 409: "`group-reboot-ended`"},
    ),
    "POST /deployments": Operation(
        "deployments", "Deploy applications to a group", deployments.DeploymentCreated, 201,
        DeploymentRequest,
        {
            "target": {"group": "line-3"},
            "applications": [
                {"name": "web", "image": "fleetgrass/hello:v1", "ports": [{"container_port": 8080}]}
            ],
        },
        problems={
            404: "`group-not-found`",
            409: "`deployment-in-progress`, `revision-conflict`",
            412: "`precondition-failed`: `revision` is the target's newest, and nothing was done",
            422: "`group-empty`, `image-not-found`, `image-not-readable`, `registry-not-ours`, "
            "`invalid-desired`, `document-too-large`",
            502: "`greengrass-refused`, `greengrass-conflict`, `agent-not-published`, "
            "`agent-configuration-unreadable`",
        },
        location=True, headers=("ETag",), conditional=True, links=_TO_DEPLOYMENT,
        description="The ETag names the new revision; send it as If-Match with the next deployment.",
    ),
    "GET /deployments": Operation(
        "deployments", "List deployments, newest first", deployments.DeploymentPage,
        query=list_deployments.DeploymentsQuery,
    ),
    "GET /deployments/{deployment}": Operation(
        "deployments", "Get the progress of a deployment, device by device", deployments.Deployment,
        problems={404: "`deployment-not-found`"}, headers=("ETag", "Cache-Control"),
        description="The ETag names the revision; send it as If-Match with the next deployment. It does not "
        "change with the devices' outcomes, so it cannot be used for caching.",
    ),
    "GET /images": Operation(
        "images", "List the repositories that devices may pull from", images.RepositoryPage,
        query=list_images.RepositoriesQuery,
    ),
    "GET /images/{repository}": Operation(
        "images", "List a repository's images, the newest push first", images.ImagePage,
        query=get_image.ImagesQuery,
        problems={404: "`repository-not-found`, `tag-not-found`"},
    ),
    "GET /audit": Operation(
        "audit", "List one day's audit, newest first", audit.AuditPage,
        query=list_audit.AuditQuery,
    ),
    "GET /audit/verify": Operation(
        "audit", "Verify that one day's audit is whole and unchanged", audit.AuditVerdict,
        query=verify_audit.VerifyQuery,
        description="A page is 2,000 entries of the chain; the day is intact when every page of it is.",
    ),
    "GET /audit/export": Operation(
        "audit", "Export one day's audit as JSON lines", None,
        query=export_audit.ExportQuery,
        media_type="application/x-ndjson", headers=("Link",),
        description="A page has at most 2,000 lines; the Link header says where the next one is.",
    ),
    "GET /health": Operation("health", "Check that the API answers", answers.Health),
    "GET /openapi.json": Operation(
        "health", "Get this description, in OpenAPI 3.1", answers.Description, cached=True,
        problems={400: "`invalid-precondition`"},
    ),
}  # fmt: skip
