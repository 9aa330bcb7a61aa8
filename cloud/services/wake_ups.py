"""Wake-ups: queue messages that have ``advance-group-reboot`` look at the group reboot that they name.

A wake-up may be lost, late, repeated or needless: decisions rest on what is stored, and every minute
``sweep`` sends a wake-up for each group reboot that has not moved.
"""

import json
import logging

from pydantic import TypeAdapter

from cloud.aws.errors import CloudError
from cloud.ports.messages import Queue
from cloud.telemetry.logs import log_event
from contract.names import Identifier

log = logging.getLogger(__name__)

_ID = TypeAdapter(Identifier)


def wake_up(queue: Queue, reboot_id: str) -> None:
    """Send a wake-up; one that cannot be sent is a warning, because the next sweep sends it."""
    try:
        queue.send(json.dumps({"group_reboot": reboot_id}))
    except CloudError as error:
        log_event(
            log, "wake-up not sent", level=logging.WARNING, error=error,
            group_reboot=reboot_id, code=error.code,
        )  # fmt: skip


def woken_group_reboot(body: str) -> str | None:
    """Return the group reboot that a message is about; None when it is no wake-up."""
    try:
        return _ID.validate_python(json.loads(body)["group_reboot"])
    except (ValueError, TypeError, KeyError):  # a pydantic.ValidationError is a ValueError
        return None
