"""``GET /deployments``: what was deployed, the newest first, page by page."""

from typing import Annotated

from pydantic import Field

from cloud.domain.deployments.deployment import DeploymentState, DeploymentSummary
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.paging import NO_CURSOR_OF_OURS, PAGE_MAX, After, Limited, following
from cloud.http.query import invalid_parameter
from cloud.tables.deployment_lists import DeploymentLists
from cloud.wiring.deployment_lists import deployment_lists
from contract.names import GroupName, Identifier

_Revision = Annotated[int, Field(ge=1, lt=10**10)]


class DeploymentsQuery(Limited):
    """Query of the deployment list; within a group its cursors are revisions."""

    cursor: After[Identifier | _Revision] = None
    group: Annotated[GroupName | None, Field(description="Only deployments to this group")] = None
    state: Annotated[DeploymentState | None, Field(description="Only in this state")] = None


def list_deployments(request: Request, *, deployments: DeploymentLists) -> Response:
    """Answer with ``{deployments, cursor}``, to one ``group`` or in one ``state`` if asked.

    The state is as it was last written; ``GET /deployments/{deployment}`` looks at the devices. ``cursor``
    is null on the last page. With ``state``, or a role that is scoped to groups, a page may hold fewer
    than ``limit`` and still not be the last.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 403 for a group out of reach.
    """
    query = request.query(DeploymentsQuery)
    group, state, before = query.group, query.state, query.cursor
    if group is not None:
        request.require_group((group,))
    takes_all = state is None and (group is not None or request.scope.groups is None)
    reads = query.limit if takes_all else PAGE_MAX
    if group is None and not isinstance(before, int):
        page = deployments.of_all(before=before, reads=reads)
    elif group is not None and not isinstance(before, str):
        page = deployments.of_target(f"thinggroup/{group}", before=before, reads=reads)
    else:
        raise invalid_parameter("cursor", NO_CURSOR_OF_OURS)

    shown: list[dict[str, object]] = []
    last: DeploymentSummary | None = None
    for last in page.headlines:
        if state in (None, last.state) and request.scope.covers((last.group,)):
            shown.append(_summary(last))
        if len(shown) == query.limit:
            break
    cursor = None
    if last is not None and (page.more or last is not page.headlines[-1]):
        cursor = last.id if group is None else str(last.revision)
    return Response(200, {"deployments": shown, "cursor": following(cursor)})


def _summary(headline: DeploymentSummary) -> dict[str, object]:
    told: dict[str, object] = {
        "id": headline.id,
        "target": {"group": headline.group},
        "revision": headline.revision,
        "state": headline.state.value,
        "requested_by": headline.requested_by,
        "reason": headline.reason,
        "created_at": headline.created_at,
        "changed_at": headline.changed_at,
    }
    if headline.code is not None:
        told |= {"code": headline.code, "message": headline.message}
    return told


def _operation(request: Request) -> Response:
    return list_deployments(request, deployments=deployment_lists())


handler = lambda_handler(_operation, route="GET /deployments")
