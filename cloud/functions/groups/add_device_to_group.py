"""``PUT /groups/{group}/devices/{device}``: put a device into a group; only one group deploys to it."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, Field

from cloud.aws.account import Account
from cloud.aws.errors import NotFound
from cloud.domain.deployments.group_moves import obstacle, origin
from cloud.domain.deployments.group_nucleus import mismatch
from cloud.domain.devices.device import Device
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.membership_problems import membership_problems
from cloud.http.query import Query
from cloud.ports.greengrass import Greengrass
from cloud.ports.groups import Groups
from cloud.services.group_membership import GroupMembership
from cloud.tables.devices import Devices
from cloud.tables.memberships import Membership
from cloud.wiring.devices import devices
from cloud.wiring.greengrass import greengrass
from cloud.wiring.group_membership import group_membership
from cloud.wiring.groups import groups
from contract.names import Nucleus


def _truth(word: str) -> bool:
    if word not in ("true", "false"):
        raise ValueError("must be true or false")
    return word == "true"


class MoveQuery(Query):
    """Query of putting a device into a group."""

    move: Annotated[
        bool, BeforeValidator(_truth), Field(description="Take it out of another group first")
    ] = False


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that putting a device into a group needs."""

    account: Account
    registry: Groups
    mover: GroupMembership
    devices: Devices
    greengrass: Greengrass


def add_device_to_group(request: Request, ports: Ports) -> Response:
    """Answer 200 with where the device is, and was.

    A caller must hold the role in the group that the device leaves too.

    Raises:
        Problem: 404 ``device-not-found``, ``group-not-found``; 409 ``device-in-group`` without
            ``?move=true``, ``membership-conflict``, ``nucleus-mismatch``, ``group-needs-deployment`` and
            ``agent-too-old``.
    """
    may_move = request.query(MoveQuery).move
    group, device = request.path["group"], request.path["device"]
    request.require_group((group,))
    mover = ports.mover
    try:
        nucleus = ports.registry.nucleus_of(group)
    except NotFound:
        raise Problem(404, "group-not-found", f"there is no group {group}") from None
    with membership_problems(device):
        before = mover.settled(device)
        if before.group not in (None, group):
            request.require_group((str(before.group),))
            if not may_move:
                raise Problem(
                    409, "device-in-group",
                    f"{device} is in {before.group}; a device is in one group, ?move=true moves it",
                    group=before.group,
                )  # fmt: skip
        if before.group != group:
            _require_way(ports, before, group, nucleus)
        after = mover.move(before, group)
    return Response(
        200,
        {"device": device, "group": after.group, "before": before.group},
        before={"group": before.group},
        after={"group": after.group},
    )


def _require_way(ports: Ports, before: Membership, group: str, nucleus: Nucleus | None) -> None:
    """Refuse where the device would not become what the group's latest deployment says.

    One of no group counts as one that moves: every device was enrolled into a group.
    """
    device = ports.devices.get(before.device)
    unlike = mismatch(group, nucleus, device=device, leaving=_kind_before(ports, before, device))
    if unlike is not None:
        raise Problem(409, unlike.code, unlike.detail, group=group)
    latest = ports.greengrass.latest(ports.account.iot_arn(f"thinggroup/{group}"))
    if latest is None:
        return
    comes_from = origin(device, before.group)
    leaving = None
    if comes_from not in (None, group):
        leaving = ports.greengrass.latest(ports.account.iot_arn(f"thinggroup/{comes_from}"))
    found = obstacle(
        group,
        latest.components,
        nucleus=nucleus,
        device=device,
        leaving=None if leaving is None else leaving.components,
        comes_from=comes_from,
    )
    if found is not None:
        raise Problem(409, found.code, found.detail, group=group)


def _kind_before(
    ports: Ports, before: Membership, device: Device | None
) -> tuple[str, Nucleus | None] | None:
    """Return the group that the device comes from with its nucleus, where the device never said its own."""
    if before.group is None or (device is not None and device.nucleus is not None):
        return None
    try:
        return before.group, ports.registry.nucleus_of(before.group)
    except NotFound:
        return None


def _operation(request: Request) -> Response:
    ports = Ports(
        account=Account.of_function(request.function_arn),
        registry=groups(),
        mover=group_membership(),
        devices=devices(),
        greengrass=greengrass(),
    )
    return add_device_to_group(request, ports)


handler = lambda_handler(_operation, route="PUT /groups/{group}/devices/{device}")
