"""``GET /groups/{group}/reboots/{reboot}``: how far a group reboot is, and what became of each device."""

from cloud.http.gateway_events import Response
from cloud.http.group_reboot_view import member, summary
from cloud.http.handler import Request, lambda_handler
from cloud.http.paging import After, Limited, following
from cloud.http.reached_group_reboot import reached_group_reboot
from cloud.tables.group_reboots import GroupReboots
from cloud.wiring.group_reboots import group_reboots
from contract.names import ThingName


class MembersQuery(Limited):
    """Query of a group reboot's devices."""

    cursor: After[ThingName] = None


def get_group_reboot(request: Request, *, reboots: GroupReboots) -> Response:
    """Answer with its state and sums, and a page of ``members`` in order of name; ``cursor`` follows on.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 404 ``group-reboot-not-found``.
    """
    query = request.query(MembersQuery)
    reboot = reached_group_reboot(request, reboots)
    page = reboots.members(reboot.id, query.cursor, query.limit)
    members = [member(reboot, each) for each in page.members]
    return Response(200, summary(reboot) | {"members": members, "cursor": following(page.cursor)})


def _operation(request: Request) -> Response:
    return get_group_reboot(request, reboots=group_reboots())


handler = lambda_handler(_operation, route="GET /groups/{group}/reboots/{reboot}")
