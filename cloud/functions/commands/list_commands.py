"""``GET /devices/{device}/commands``: a device's commands, the newest first, page by page."""

from typing import Annotated

from pydantic import Field

from cloud.clock import Clock, utc_now
from cloud.http.command_view import summary
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.paging import After, Limited, following
from cloud.http.reached_device import reached_device
from cloud.tables.commands import Commands
from cloud.tables.devices import Devices
from cloud.wiring.commands import commands
from cloud.wiring.devices import devices
from contract.commands import CommandState
from contract.names import Identifier
from contract.topics import CommandKind

_PAGES = 5  # that one call reads at the most, to find what it is asked for


class CommandsQuery(Limited):
    """Query of a device's commands."""

    cursor: After[Identifier] = None
    kind: Annotated[CommandKind | None, Field(description="Only this kind")] = None
    state: Annotated[CommandState | None, Field(description="Only in this state")] = None


def list_commands(request: Request, *, devices: Devices, commands: Commands, clock: Clock) -> Response:
    """Answer with ``{commands, cursor}``, of one ``kind`` or in one ``state`` if asked.

    The state is the one shown, inferred or not. ``cursor`` is null on the last page; with ``kind`` or
    ``state`` a page may hold fewer than ``limit`` and still not be the last.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 404 ``device-not-found``.
    """
    query = request.query(CommandsQuery)
    limit, before = query.limit, query.cursor
    device = reached_device(request, devices)

    now = clock()
    shown: list[dict[str, object]] = []
    more = True
    for _ in range(_PAGES):
        page, more = commands.page(device.name, before=before, limit=limit)
        for command in page:
            before = command.id
            line = summary(command, now)
            if query.kind in (None, line["kind"]) and query.state in (None, line["state"]):
                shown.append(line)
            if len(shown) == limit:
                more = more or command is not page[-1]
                break
        if not more or len(shown) == limit:
            break
    return Response(200, {"commands": shown, "cursor": following(before if more else None)})


def _operation(request: Request) -> Response:
    return list_commands(request, devices=devices(), commands=commands(), clock=utc_now)


handler = lambda_handler(_operation, route="GET /devices/{device}/commands")
