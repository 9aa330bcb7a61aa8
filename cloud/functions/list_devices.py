"""``GET /devices``: the devices in order of name, page by page, all of them or one group's."""

import base64
import binascii
import os
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from cloud.aws.clients import client
from cloud.clock import Clock, utc_now
from cloud.http import Problem, Request, Response, lambda_handler
from cloud.tables.devices import PAGE_MAX, Devices, Page
from cloud.views import summary
from contract.defaults import OFFLINE_DEBOUNCE_S
from contract.names import GroupName, ThingName

PAGE_DEFAULT = 50
_PARAMETERS = frozenset({"cursor", "limit", "group"})
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
    unknown = sorted(request.query.keys() - _PARAMETERS)
    if unknown:
        raise Problem(400, "unknown-parameter", f"{unknown[0]}: unknown parameter", field=unknown[0])
    group, cursor = _group(request), _cursor(request)
    page = devices.page(cursor, _limit(request), group)
    if group is not None and cursor is None and not page.devices:
        raise Problem(404, "group-not-found", f"no device is enrolled in a group {group}")
    now = clock()
    shown = [
        summary(device, now, offline_debounce_s=offline_debounce_s)
        for device in page.devices
        if request.scope.covers(device.groups)
    ]
    following = None if page.cursor is None else base64.urlsafe_b64encode(page.cursor.encode()).decode()
    return Response(200, {"devices": shown, "cursor": following})


def _limit(request: Request) -> int:
    text = request.query.get("limit", str(PAGE_DEFAULT))
    if not text.isascii() or not text.isdigit() or len(text) > 3 or not 1 <= int(text) <= PAGE_MAX:
        raise Problem(400, "invalid-parameter", f"limit: must be 1 to {PAGE_MAX}", field="limit")
    return int(text)


def _group(request: Request) -> str | None:
    group = request.query.get("group")
    if group is None:
        return None
    try:
        _GROUP.validate_python(group)
    except ValidationError:
        raise Problem(400, "invalid-parameter", "group: not a valid name", field="group") from None
    request.require_group((group,))
    return group


def _cursor(request: Request) -> str | None:
    cursor = request.query.get("cursor")
    if cursor is None:
        return None
    try:
        return _THING.validate_python(base64.b64decode(cursor, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError):  # a pydantic.ValidationError is a ValueError
        raise Problem(400, "invalid-parameter", "cursor: not one that a page gave", field="cursor") from None


def _operation(request: Request) -> Response:
    return list_devices(
        request,
        devices=Devices(client("dynamodb"), os.environ["DEVICES_TABLE"]),
        clock=utc_now,
        offline_debounce_s=float(os.environ.get("OFFLINE_DEBOUNCE_S", OFFLINE_DEBOUNCE_S)),
    )


handler = lambda_handler(_operation, route="GET /devices")
