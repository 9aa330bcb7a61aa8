"""``PUT /groups/{group}/devices/{device}``: a device into the one group that is deployed to it."""

import os
from typing import Protocol

from cloud.aws.clients import client
from cloud.aws.iot_registry import Registry
from cloud.gateway import Problem, Response
from cloud.http import Request, lambda_handler
from cloud.membership import Mover
from cloud.membership_problems import membership_problems
from cloud.tables.memberships import Memberships


class KnowsGroups(Protocol):
    """The part of the registry that this needs."""

    def has_group(self, group: str) -> bool: ...


def add_device_to_group(request: Request, *, registry: KnowsGroups, mover: Mover) -> Response:
    """Answer 200 with where the device is, and was.

    A caller must hold the role in the group that the device leaves too.

    Raises:
        Problem: 404 ``device-not-found``, ``group-not-found``; 409 ``device-in-group`` without
            ``?move=true``, ``membership-conflict``.
    """
    group, device = request.path["group"], request.path["device"]
    may_move = request.query.get("move", "false")
    if may_move not in ("true", "false"):
        raise Problem(400, "invalid-parameter", "move: must be true or false", field="move")
    request.require_group((group,))
    if not registry.has_group(group):
        raise Problem(404, "group-not-found", f"there is no group {group}")
    with membership_problems(device):
        before = mover.settled(device)
        if before.group not in (None, group):
            request.require_group((str(before.group),))
            if may_move == "false":
                raise Problem(
                    409, "device-in-group",
                    f"{device} is in {before.group}; a device is in one group, ?move=true moves it",
                    group=before.group,
                )  # fmt: skip
        after = mover.move(before, group)
    return Response(
        200,
        {"device": device, "group": after.group, "before": before.group},
        before={"group": before.group},
        after={"group": after.group},
    )


def _operation(request: Request) -> Response:
    registry = Registry(client("iot"))
    memberships = Memberships(client("dynamodb"), os.environ["DEVICES_TABLE"])
    return add_device_to_group(request, registry=registry, mover=Mover(memberships, registry))


handler = lambda_handler(_operation, route="PUT /groups/{group}/devices/{device}")
