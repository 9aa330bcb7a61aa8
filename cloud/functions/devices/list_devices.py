"""``GET /devices``: the devices page by page, all of them or those that filters leave."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, Json

from cloud.clock import Clock, utc_now
from cloud.defaults import OFFLINE_DEBOUNCE_S
from cloud.domain.deployments.image_references import Digest
from cloud.domain.devices.device import Device
from cloud.domain.devices.device_filter import DeviceFilter
from cloud.domain.devices.presence import State, state
from cloud.domain.devices.wanted_state import wanted_by_group
from cloud.domain.timestamps import LATEST_MS
from cloud.environment import ENVIRONMENT
from cloud.http.device_view import summary
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.paging import PAGE_MAX, After, Limited, following
from cloud.http.query import invalid_parameter
from cloud.tables.deployments import Deployments
from cloud.tables.device_lists import DeviceLists, Position, Stream, streams
from cloud.wiring.deployments import deployments
from cloud.wiring.device_lists import device_lists
from contract.events import ShortText
from contract.names import ApplicationName, GroupName, ThingName

_Since = Annotated[int, Field(ge=0, le=LATEST_MS)]


class DevicesQuery(Limited):
    """Query of the device list."""

    cursor: After[Json[list[ThingName | tuple[_Since, ThingName] | None]]] = None
    sort: Annotated[
        Literal["name", "state-since"] | None,
        Field(description="By name, or by the time of the last change of the connection"),
    ] = None
    group: Annotated[GroupName | None, Field(description="Only devices of this group")] = None
    #: The letters of a name, and as many.
    prefix: Annotated[
        ThingName | None, Field(description="Only devices whose name begins so, in either case")
    ] = None
    image: Annotated[Digest | None, Field(description="Only devices with an application of this digest")] = (
        None
    )
    application: Annotated[
        ApplicationName | None, Field(description="Only devices that have this application")
    ] = None
    agent_version: Annotated[
        ShortText | None, Field(description="Only devices whose agent is of this version")
    ] = None
    state: Annotated[State | None, Field(description="Only devices in this state")] = None


def list_devices(
    request: Request,
    *,
    devices: DeviceLists,
    deployments: Deployments,
    clock: Clock,
    offline_debounce_s: float = OFFLINE_DEBOUNCE_S,
) -> Response:
    """Answer with ``{devices, cursor}``; ``cursor`` is null on the last page.

    In order of name (with ``prefix`` and no group: whatever the case), or of the time since when the
    connection stands as it does. One filter drives, the others narrow what a page reads, as does a role
    that is scoped to groups: a page may hold fewer than ``limit`` and still not be the last.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 403 for a group out of reach, 404
            ``group-not-found`` where no device is enrolled in it.
    """
    query = request.query(DevicesQuery)
    wanted = DeviceFilter(
        group=query.group,
        prefix=query.prefix,
        image=query.image,
        application=query.application,
        agent_version=query.agent_version,
        state=query.state,
    )
    if wanted.group is not None:
        request.require_group((wanted.group,))
    now = clock()
    debounced_since = now - timedelta(seconds=offline_debounce_s)
    parts = streams(wanted, by_since=query.sort == "state-since", debounced_since=debounced_since)
    after = _positions(query, parts)

    def takes(device: Device) -> bool:
        seen = state(device, now, offline_debounce_s=offline_debounce_s)
        return request.scope.covers(device.groups) and wanted.takes(device, seen.state)

    page = devices.page(
        parts,
        after or [None] * len(parts),
        limit=query.limit,
        reads=query.limit if wanted.is_empty else PAGE_MAX,
        inside=wanted.looks_inside,
        takes=takes,
    )
    nothing = after is None and not page.devices
    if nothing and wanted.group is not None and not devices.is_enrolled_in(wanted.group):
        raise Problem(404, "group-not-found", f"no device is enrolled in a group {wanted.group}")
    by_group = wanted_by_group(page.devices, deployments.newest_first)
    shown = [
        summary(device, by_group.get(device.group), now, offline_debounce_s=offline_debounce_s)
        for device in page.devices
    ]
    cursor = None if page.after is None else json.dumps(page.after, separators=(",", ":"))
    return Response(200, {"devices": shown, "cursor": following(cursor)})


def _positions(query: DevicesQuery, parts: Sequence[Stream]) -> Sequence[Position] | None:
    """Return where the page begins in each of ``parts``; None for the first page."""
    after = query.cursor
    if after is None or (
        len(after) == len(parts) and all(part.fits(at) for part, at in zip(parts, after, strict=True))
    ):
        return after
    raise invalid_parameter("cursor", "not one that this list gave")


def _operation(request: Request) -> Response:
    return list_devices(
        request,
        devices=device_lists(),
        deployments=deployments(),
        clock=utc_now,
        offline_debounce_s=ENVIRONMENT.offline_debounce_s,
    )


handler = lambda_handler(_operation, route="GET /devices")
