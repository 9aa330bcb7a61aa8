"""Rows of commands: to DynamoDB attributes and back. Pure, no call. Times are Unix milliseconds."""

import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cloud.aws.attributes import from_item
from cloud.domain.commands.command import Command
from cloud.domain.commands.command_ledger import Inferred, Proof
from cloud.domain.timestamps import from_ms, to_ms
from contract.commands import CommandState

KEPT_AFTER_EXPIRY = timedelta(days=30)
DUE_SHARDS = 4
_TIMES = ("at", "device_time")


def to_row(command: Command) -> dict[str, object]:
    """Return the row of a command that was just made."""
    assert command.due_at is not None  # noqa: S101 - of what was just made
    waiting = {"waiting": command.device} if command.sent_again else {}
    return {
        "device": command.device,
        "id": command.id,
        "kind": command.kind,
        "issued_at": to_ms(command.issued_at),
        "expires_at": to_ms(command.expires_at),
        "requested_by": command.requested_by,
        "reason": command.reason,
        "parameters": command.parameters,
        "part_of": command.part_of,
        "when_online": command.when_online,
        "warnings": command.warnings,
        "state": command.state.value,
        "changed_at": to_ms(command.changed_at),
        "result": {},
        "transitions": [transition(command.state, command.changed_at, by=command.requested_by)],
        "due_shard": shard(command.id),
        "due_at": to_ms(command.due_at),
        **waiting,
        "delete_at": int((command.expires_at + KEPT_AFTER_EXPIRY).timestamp()),
    }


def to_command(item: Mapping[str, Any]) -> Command:
    """Return the command of an item."""
    row = from_item(item)
    inferred = row.get("inferred")
    return Command(
        device=row["device"],
        id=row["id"],
        kind=row["kind"],
        issued_at=from_ms(row["issued_at"]),
        expires_at=from_ms(row["expires_at"]),
        requested_by=row["requested_by"],
        reason=row["reason"],
        parameters=row.get("parameters", {"force": row.get("force")}),  # 0.1 knew reboots alone
        state=CommandState(row["state"]),
        changed_at=from_ms(row["changed_at"]),
        part_of=row.get("part_of"),
        when_online=row.get("when_online", False),
        warnings=tuple(row["warnings"]),
        inferred=inferred
        and Inferred(CommandState(inferred["state"]), inferred["code"], from_ms(inferred["at"])),
        proof=Proof(row["proof"]["boot_id"], from_ms(row["proof"]["at"])) if "proof" in row else None,
        result=row["result"],
        transitions=tuple(
            {name: from_ms(value) if name in _TIMES else value for name, value in step.items()}
            for step in row["transitions"]
        ),
        due_at=from_ms(row["due_at"]) if "due_at" in row else None,
    )


def transition(
    state: CommandState,
    at: datetime,
    *,
    by: str,
    code: str | None = None,
    device_time: datetime | None = None,
) -> dict[str, object]:
    """Return one line of a command's history; ``by`` is who asked for it, ``device`` or ``cloud``."""
    optional = {"code": code, "device_time": None if device_time is None else to_ms(device_time)}
    said = {name: value for name, value in optional.items() if value is not None}
    return {"state": state.value, "at": to_ms(at), "by": by, **said}


def shard(command_id: str) -> str:
    """Return where in the index ``by-due`` a command is."""
    return str(zlib.crc32(command_id.encode()) % DUE_SHARDS)
