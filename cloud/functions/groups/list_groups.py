"""``GET /groups``: the groups, page by page as the IoT registry lists them, with what each one runs."""

from itertools import chain
from typing import Annotated

from pydantic import Field, StringConstraints

from cloud.aws.errors import NotFound, Refused
from cloud.domain.deployments.deployment import Deployment, in_force
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.paging import NO_CURSOR_OF_OURS, Cursor, Limited
from cloud.http.query import invalid_parameter
from cloud.ports.groups import Groups
from cloud.tables.deployments import Deployments
from cloud.tables.memberships import Memberships
from cloud.wiring.deployments import deployments
from cloud.wiring.groups import groups
from cloud.wiring.memberships import memberships
from contract.names import GroupName, Nucleus

#: A token of the IoT registry.
_Token = Annotated[str, StringConstraints(pattern=r"^[\x00-\x7f]+$", max_length=2_048)]


class GroupsQuery(Limited):
    """Query of the group list."""

    cursor: Cursor[_Token] = None
    prefix: Annotated[GroupName | None, Field(description="Only groups whose names begin so")] = None


def list_groups(
    request: Request, *, registry: Groups, devices: Memberships, deployments: Deployments
) -> Response:
    """Answer with ``{groups, cursor}``; a group says which nucleus it is of, how many devices it has, as far
    as they are counted (``devices_exact``), its latest deployment, and what the last check found to be wrong
    with the one in force.

    A caller whose role is scoped to groups sees those only, so a page may hold fewer than ``limit``.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong.
    """
    query = request.query(GroupsQuery)
    try:
        page = registry.groups(cursor=query.cursor, limit=query.limit, prefix=query.prefix)
    except Refused:
        if query.cursor is None:
            raise
        raise invalid_parameter("cursor", NO_CURSOR_OF_OURS) from None
    seen = (name for name in page.groups if request.scope.covers((name,)))
    shown = [_shown(name, _nucleus(registry, name), devices, deployments) for name in seen]
    return Response(200, {"groups": shown, "cursor": page.cursor})


def _nucleus(registry: Groups, group: str) -> Nucleus | None:
    try:
        return registry.nucleus_of(group)
    except NotFound:  # deleted since the page was made
        return None


def _shown(
    group: str, nucleus: Nucleus | None, devices: Memberships, deployments: Deployments
) -> dict[str, object]:
    count, exact = devices.count(group)
    latest, amiss = _latest(deployments, group)
    shown: dict[str, object] = {
        "name": group,
        "nucleus": nucleus,
        "devices": count,
        "devices_exact": exact,
        "latest": None if latest is None else _told(latest),
    }
    if amiss is not None:
        shown["trouble"] = _told(amiss) | {"code": amiss.code, "message": amiss.message}
    return shown


def _latest(deployments: Deployments, group: str) -> tuple[Deployment | None, Deployment | None]:
    """Return the newest deployment, and the current one if the last check found something wrong with it.

    One query: what Greengrass refused stands above the one in force.
    """
    newest = deployments.newest_first(f"thinggroup/{group}")
    latest = next(newest, None)
    if latest is None:
        return None, None
    force = in_force(chain([latest], newest))
    return latest, force if force is not None and force.code is not None else None


def _told(deployment: Deployment) -> dict[str, object]:
    return {
        "deployment": deployment.id,
        "revision": deployment.revision,
        "state": deployment.state.value,
    }


def _operation(request: Request) -> Response:
    return list_groups(request, registry=groups(), devices=memberships(), deployments=deployments())


handler = lambda_handler(_operation, route="GET /groups")
