"""``POST /groups``: a group that can be deployed to."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

from cloud.aws.errors import Conflict
from cloud.clock import Clock, new_id, utc_now
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler
from cloud.ports.groups import Groups
from cloud.tables.dynamodb.idempotency_keys import Keys
from cloud.wiring.groups import groups
from cloud.wiring.idempotency_keys import idempotency_keys
from contract.names import GroupName, Nucleus, known_nucleus


class GroupWish(BaseModel):
    """Request body of a new group."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: GroupName
    #: As AWS IoT takes it (API reference, ThingGroupProperties).
    description: (
        Annotated[str, StringConstraints(min_length=1, max_length=2028, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
        | None
    ) = None
    #: Of all its devices; where it is not said, the first device that says which one it has decides.
    nucleus: Annotated[Nucleus, BeforeValidator(lambda word: known_nucleus(word) or word)] | None = None


def create_group(request: Request, *, registry: Groups, keys: Keys, clock: Clock) -> Response:
    """Answer 201 with the group; with an Idempotency-Key that made it, again.

    Raises:
        KeyReused: the key was used with a different request.
        Problem: 409 ``group-exists``.
    """
    wish = request.parse(GroupWish)
    request.require_group((wish.name,))
    idempotency, now = request.idempotency(), clock()
    made_by = new_id("group", now) if idempotency is None else keys.claim(idempotency, now)
    try:
        registry.create_group(wish.name, wish.description, made_by=made_by, nucleus=wish.nucleus)
    except Conflict:
        raise Problem(409, "group-exists", f"there is a group {wish.name}", group=wish.name) from None
    holds = {"devices": 0, "devices_exact": True, "latest": None}
    body = {"name": wish.name, "description": wish.description, "nucleus": wish.nucleus, **holds}
    return Response(201, body, after={"group": wish.name, "nucleus": wish.nucleus})


def _operation(request: Request) -> Response:
    return create_group(request, registry=groups(), keys=idempotency_keys(), clock=utc_now)


handler = lambda_handler(_operation, route="POST /groups")
