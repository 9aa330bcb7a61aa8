"""``GET /groups/{group}/reboots/{reboot}``: how far a group reboot is, and what became of each device."""

import os
from typing import Protocol

from pydantic import TypeAdapter

from cloud.aws.clients import client
from cloud.domain.commands.group_reboot import GroupReboot
from cloud.http import paging
from cloud.http.gateway_events import Response
from cloud.http.group_reboot_view import member, summary
from cloud.http.handler import Request, lambda_handler
from cloud.http.reached_group_reboot import reached_group_reboot
from cloud.tables.group_reboots import GroupReboots, Page
from contract.names import ThingName

_THING = TypeAdapter(ThingName)


class FindsGroupReboots(Protocol):
    """The part of the table that this operation needs."""

    def get(self, reboot_id: str) -> GroupReboot | None: ...

    def members(self, reboot_id: str, cursor: str | None, limit: int) -> Page: ...


def get_group_reboot(request: Request, *, reboots: FindsGroupReboots) -> Response:
    """Answer with its state and sums, and a page of ``members`` in order of name; ``cursor`` follows on.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 404 ``group-reboot-not-found``.
    """
    cursor, at_most = paging.after(request, _THING), paging.limit(request)
    reboot = reached_group_reboot(request, reboots)
    page = reboots.members(reboot.id, cursor, at_most)
    members = [member(reboot, each) for each in page.members]
    return Response(200, summary(reboot) | {"members": members, "cursor": paging.following(page.cursor)})


def _operation(request: Request) -> Response:
    return get_group_reboot(request, reboots=GroupReboots(client("dynamodb"), os.environ["COMMANDS_TABLE"]))


handler = lambda_handler(_operation, route="GET /groups/{group}/reboots/{reboot}")
