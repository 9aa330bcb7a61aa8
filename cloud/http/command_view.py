"""JSON of a command in the API's answers. Pure."""

from datetime import datetime
from typing import Any

from cloud.domain.commands.command import Command
from contract.commands import CommandState

_PROOF = ("message", "boot_id_before", "boot_id", "down_s", "clock", "log_lines")


def as_made(command: Command) -> dict[str, Any]:
    """Return the answer to the command's creation, also when the request is repeated."""
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
    """Return its state, in one line of a list; ``inferred``: concluded by the cloud."""
    inferred = command.conclusion(now)
    code = inferred.code if inferred else command.result.get("code")
    return as_made(command) | {
        "state": (inferred.state if inferred else command.state).value,
        "inferred": inferred is not None,
        "changed_at": inferred.at if inferred else command.changed_at,
        **({} if code is None else {"code": code}),
    }


def detail(command: Command, now: datetime) -> dict[str, Any]:
    """Return everything known about it: its history, its result, the device's proof."""
    transitions = list(command.transitions)
    inferred = command.conclusion(now)
    if inferred is not None and command.inferred is None:  # the sweep will write it
        transitions.append(
            {"state": inferred.state.value, "at": inferred.at, "by": "cloud", "code": inferred.code}
        )
    proof = {name: command.result[name] for name in _PROOF if name in command.result}
    return summary(command, now) | {"transitions": transitions} | proof
