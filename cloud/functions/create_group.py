"""``POST /groups``: a group that can be deployed to."""

from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, StringConstraints

from cloud.aws.clients import client
from cloud.aws.iot_registry import Registry
from cloud.gateway import Problem, Response
from cloud.http import Request, lambda_handler
from contract.names import GroupName


class GroupWish(BaseModel):
    """What an operator sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: GroupName
    #: As AWS IoT takes it (API reference, ThingGroupProperties).
    description: (
        Annotated[
            str, StringConstraints(min_length=1, max_length=2028, pattern=r"^[\x20-\x7e\xa0-\U0010ffff]*$")
        ]
        | None
    ) = None


class MakesGroups(Protocol):
    """The part of the registry that this needs."""

    def has_group(self, group: str) -> bool: ...
    def create_group(self, group: str, description: str | None) -> None: ...


def create_group(request: Request, *, registry: MakesGroups) -> Response:
    """Answer 201 with the group.

    Raises:
        Problem: 409 ``group-exists``.
    """
    wish = request.parse(GroupWish)
    request.require_group((wish.name,))
    request.idempotency()  # the name is the key; a malformed header is refused all the same
    if registry.has_group(wish.name):
        raise Problem(409, "group-exists", f"there is a group {wish.name}", group=wish.name)
    registry.create_group(wish.name, wish.description)
    body = {"name": wish.name, "description": wish.description, "devices": 0, "latest": None}
    return Response(201, body, after={"group": wish.name})


def _operation(request: Request) -> Response:
    return create_group(request, registry=Registry(client("iot")))


handler = lambda_handler(_operation, route="POST /groups")
