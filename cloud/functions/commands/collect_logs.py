"""``POST /devices/{device}/applications/{app}/logs``: its latest output, as a bundle or as a few lines.

The bundle goes from the device to S3 by a presigned URL; ``GET`` of the command tells where it is.
"""

from typing import Annotated

from pydantic import Field

from cloud.domain.commands.command import Command
from cloud.domain.devices.device import Device
from cloud.http.command_handler import CommandFields, CommandRequest, CommandRoute
from cloud.http.handler import Request
from cloud.wiring.bucket import bundles
from contract.commands import CollectLogsCommand
from contract.defaults import LOG_LINES_MAX


class CollectLogsRequest(CommandRequest):
    """Request body of the collect-logs command."""

    bundle: bool = True  # else the lines come with the result
    lines: Annotated[int, Field(ge=1, le=LOG_LINES_MAX)] = 100  # of the result; a bundle has what fits


def _command(request: Request, device: Device, order: CollectLogsRequest, common: CommandFields) -> Command:
    message = CollectLogsCommand(
        **common, command="collect-logs", application=request.path["app"], lines=order.lines
    )
    return Command.made_of(device.name, message, bundle=order.bundle)


ROUTE = CommandRoute("POST /devices/{device}/applications/{app}/logs", CollectLogsRequest, _command)
handler = ROUTE.handler(bundles)
