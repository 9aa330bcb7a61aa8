"""The route table: who may do what, and which Lambda does it. Nothing says it a second time.

Imports the standard library only, because the authorizer's cold start pays for every import here; and its
rows are named tuples, because each dataclass takes half a millisecond of that. What needs pydantic (query
parameters, bodies, answers, problems) is in ``cloud.openapi.operations``, by the same keys.
"""

from collections.abc import Mapping
from typing import NamedTuple

from cloud.auth.permissions import Role, ScopeRule


class Route(NamedTuple):
    """One operation of the API: its Lambda's kebab-name, the least role, and what a scoped one reaches.

    It takes no query parameter, unless ``takes_query``: those of its operation's model then.
    ``names_group`` is where its body names the group that it is about, if its path does not.
    """

    operation: str
    role: Role
    reach: ScopeRule
    takes_query: bool = False
    names_group: tuple[str, ...] = ()


#: API Gateway route key → operation. The authorizer and the handlers judge by it; the template, the OpenAPI
#: description and docs/access.md are tested against it, and so is every handler.
ROUTES: Mapping[str, Route] = {
    "GET /devices": Route("list-devices", Role.READER, ScopeRule.LISTED, takes_query=True),
    "GET /devices/{device}": Route("get-device", Role.READER, ScopeRule.DEVICE),
    "GET /devices/{device}/why": Route("explain-device", Role.READER, ScopeRule.DEVICE),
    "GET /devices/{device}/history": Route(
        "get-device-history", Role.READER, ScopeRule.DEVICE, takes_query=True
    ),
    "POST /devices/{device}/reboot": Route("reboot-device", Role.OPERATOR, ScopeRule.DEVICE),
    "POST /devices/{device}/report": Route("request-report", Role.OPERATOR, ScopeRule.DEVICE),
    "POST /devices/{device}/applications/{app}/restart": Route(
        "restart-application", Role.OPERATOR, ScopeRule.DEVICE
    ),
    "POST /devices/{device}/applications/{app}/retry": Route(
        "retry-application", Role.OPERATOR, ScopeRule.DEVICE
    ),
    "POST /devices/{device}/applications/{app}/logs": Route("collect-logs", Role.OPERATOR, ScopeRule.DEVICE),
    "POST /devices/{device}/applications/{app}/rotate-secrets": Route(
        "rotate-secrets", Role.OPERATOR, ScopeRule.DEVICE
    ),
    "GET /devices/{device}/commands": Route("list-commands", Role.READER, ScopeRule.DEVICE, takes_query=True),
    "GET /devices/{device}/commands/{command}": Route("get-command", Role.READER, ScopeRule.DEVICE),
    "POST /groups/{group}/reboots": Route("reboot-group", Role.OPERATOR, ScopeRule.GROUP),
    "GET /groups/{group}/reboots/{reboot}": Route(
        "get-group-reboot", Role.READER, ScopeRule.GROUP, takes_query=True
    ),
    "POST /groups/{group}/reboots/{reboot}/cancel": Route(
        "cancel-group-reboot", Role.OPERATOR, ScopeRule.GROUP
    ),
    "POST /deployments": Route(
        "create-deployment", Role.DEPLOYER, ScopeRule.GROUP, names_group=("target", "group")
    ),
    "GET /deployments": Route("list-deployments", Role.READER, ScopeRule.LISTED, takes_query=True),
    "GET /deployments/{deployment}": Route("get-deployment", Role.READER, ScopeRule.GROUP),
    "GET /groups": Route("list-groups", Role.READER, ScopeRule.LISTED, takes_query=True),
    "POST /groups": Route("create-group", Role.DEPLOYER, ScopeRule.GROUP, names_group=("name",)),
    "PUT /groups/{group}/devices/{device}": Route(
        "add-device-to-group", Role.DEPLOYER, ScopeRule.GROUP, takes_query=True
    ),
    "DELETE /groups/{group}/devices/{device}": Route(
        "remove-device-from-group", Role.DEPLOYER, ScopeRule.GROUP
    ),
    "GET /images": Route("list-images", Role.READER, ScopeRule.SHARED, takes_query=True),
    "GET /images/{repository}": Route("get-image", Role.READER, ScopeRule.SHARED, takes_query=True),
    "GET /audit": Route("list-audit", Role.ADMIN, ScopeRule.FLEET, takes_query=True),
    "GET /audit/verify": Route("verify-audit", Role.ADMIN, ScopeRule.FLEET, takes_query=True),
    "GET /audit/export": Route("export-audit", Role.ADMIN, ScopeRule.FLEET, takes_query=True),
}

#: Route key → operation of what needs no token: no caller, no role, nothing audited.
PUBLIC_ROUTES: Mapping[str, str] = {
    "GET /health": "health",
    "GET /openapi.json": "get-openapi",
}
