"""Every MQTT topic of fleetgrass (layout: AWS whitepaper "Designing MQTT Topics for AWS IoT Core").

The infrastructure template and the recipe spell the same topics; tests hold them against this file.
"""

from typing import Literal

#: What may be asked of a device.
CommandKind = Literal[
    "reboot", "restart-application", "retry-application", "report-now", "collect-logs", "rotate-secrets"
]
#: Every request that a device hears; ``time`` and ``ack`` are sent by IoT rules.
Command = Literal[CommandKind, "time", "ack"]

COMMAND_RESULTS = "cmd/fleetgrass/+/+/res"
CONNECTIONS = "dt/fleetgrass/+/connection"
REPORTS = "dt/fleetgrass/+/report"
PRESENCE = "$aws/events/presence/+/+"


def command_request(thing: str, command: Command) -> str:
    """Return the topic on which the cloud sends ``command`` to ``thing``."""
    return f"cmd/fleetgrass/{thing}/{command}/req"


def command_result(thing: str, command: Command) -> str:
    """Return the topic on which ``thing`` answers ``command``."""
    return f"cmd/fleetgrass/{thing}/{command}/res"


def connection(thing: str) -> str:
    """Return the topic of hello and goodbye."""
    return f"dt/fleetgrass/{thing}/connection"


def report(thing: str) -> str:
    """Return the topic of device reports."""
    return f"dt/fleetgrass/{thing}/report"


def thing_of(topic: str) -> str | None:
    """Return the thing that a fleetgrass or presence topic speaks of; None for any other topic."""
    parts = topic.split("/")
    if len(parts) >= 4 and parts[0] in ("cmd", "dt") and parts[1] == "fleetgrass":
        return parts[2]
    if len(parts) == 5 and parts[:3] == ["$aws", "events", "presence"]:
        return parts[4]
    return None
