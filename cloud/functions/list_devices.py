"""``GET /devices``: the devices in order of name, page by page, all of them or one group's."""

import os
from typing import Protocol

from pydantic import TypeAdapter

from cloud import paging
from cloud.aws.clients import client
from cloud.clock import Clock, utc_now
from cloud.http import Problem, Request, Response, lambda_handler
from cloud.tables.devices import Devices, Page
from cloud.views import summary
from contract.defaults import OFFLINE_DEBOUNCE_S
from contract.names import GroupName, ThingName

_THING, _GROUP = TypeAdapter(ThingName), TypeAdapter(GroupName)


class ListsDevices(Protocol):
    """The part of the devices table that this operation needs."""

    def page(self, cursor: str | None, limit: int, group: str | None = None) -> Page: ...


def list_devices(
    request: Request,
    *,
    devices: ListsDevices,
    clock: Clock,
    offline_debounce_s: float = OFFLINE_DEBOUNCE_S,
) -> Response:
    """Answer with ``{devices, cursor}``; ``cursor`` is null on the last page.

    A caller whose role is scoped to groups sees their devices only, so a page may hold fewer than
    ``limit`` and still not be the last.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 403 for a group out of reach, 404
            ``group-not-found`` where no device is enrolled in it.
    """
    paging.refuse_unknown(request, ("cursor", "limit", "group"))
    group, cursor = paging.chosen(request, "group", _GROUP), paging.after(request, _THING)
    if group is not None:
        request.require_group((group,))
    page = devices.page(cursor, paging.limit(request), group)
    if group is not None and cursor is None and not page.devices:
        raise Problem(404, "group-not-found", f"no device is enrolled in a group {group}")
    now = clock()
    shown = [
        summary(device, now, offline_debounce_s=offline_debounce_s)
        for device in page.devices
        if request.scope.covers(device.groups)
    ]
    return Response(200, {"devices": shown, "cursor": paging.following(page.cursor)})


def _operation(request: Request) -> Response:
    return list_devices(
        request,
        devices=Devices(client("dynamodb"), os.environ["DEVICES_TABLE"]),
        clock=utc_now,
        offline_debounce_s=float(os.environ.get("OFFLINE_DEBOUNCE_S", OFFLINE_DEBOUNCE_S)),
    )


handler = lambda_handler(_operation, route="GET /devices")
