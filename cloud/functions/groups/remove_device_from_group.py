"""``DELETE /groups/{group}/devices/{device}``: a device out of its group; nothing is deployed to it then."""

from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.membership_problems import membership_problems
from cloud.services.group_membership import GroupMembership
from cloud.wiring.group_membership import group_membership


def remove_device_from_group(request: Request, *, mover: GroupMembership) -> Response:
    """Answer 204.

    Raises:
        Problem: 404 ``device-not-found``, ``device-not-in-group``; 409 ``membership-conflict``.
    """
    group, device = request.path["group"], request.path["device"]
    request.require_group((group,))
    with membership_problems(device):
        before = mover.settled(device)
        if before.group != group:
            raise Problem(404, "device-not-in-group", f"{device} is not in {group}")
        mover.move(before, None)
    return Response(204, before={"group": group}, after={"group": None})


def _operation(request: Request) -> Response:
    return remove_device_from_group(request, mover=group_membership())


handler = lambda_handler(_operation, route="DELETE /groups/{group}/devices/{device}")
