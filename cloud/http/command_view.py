"""JSON of a command in the API's answers. Pure."""

from datetime import datetime
from typing import Any

from cloud.domain.commands.command import Command
from contract.commands import CommandState

_PROOF = ("message", "boot_id_before", "boot_id", "down_s", "clock", "log_lines")


def as_made(command: Command) -> dict[str, Any]:
    """Return what the answer to its order says, also when the order comes again."""
    return {
        "id": command.id,
        "device": command.device,
        "kind": command.kind,
        "state": CommandState.PENDING.value,  # as it was made; its Location tells how it goes on
        "issued_at": command.issued_at,
        "expires_at": command.expires_at,
        "requested_by": command.requested_by,
        "reason": command.reason,
        "part_of": command.part_of,
        "when_online": command.when_online,
        **command.parameters,
        "warnings": list(command.warnings),
    }


def summary(command: Command, now: datetime) -> dict[str, Any]:
    """Return how it stands, in one line of a list; ``inferred`` says whose word the state is."""
    inferred = command.conclusion(now)
    code = inferred.code if inferred else command.result.get("code")
    return as_made(command) | {
        "state": (inferred.state if inferred else command.state).value,
        "inferred": inferred is not None,
        "changed_at": inferred.at if inferred else command.changed_at,
        **({} if code is None else {"code": code}),
    }


def detail(command: Command, now: datetime) -> dict[str, Any]:
    """Return everything known of it: how it came to stand so, and what the device gave as proof."""
    transitions = list(command.transitions)
    inferred = command.conclusion(now)
    if inferred is not None and command.inferred is None:  # the sweep will write it
        transitions.append(
            {"state": inferred.state.value, "at": inferred.at, "by": "cloud", "code": inferred.code}
        )
    proof = {name: command.result[name] for name in _PROOF if name in command.result}
    return summary(command, now) | {"transitions": transitions} | proof
