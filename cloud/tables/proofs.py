"""Writing into the ledger what a device's next boot proves."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.aws.errors import Conflict
from cloud.command import Command
from cloud.ledger import NOT_STARTED, REBOOTED
from cloud.milliseconds import to_ms
from cloud.tables.command_rows import to_command, transition
from contract.commands import CommandState

#: A conclusion from silence, which a proof replaces.
_NO_PROOF = "no-proof"


@dataclass(frozen=True, slots=True)
class Proven:
    """The command as the proof made it, None where nothing changed; ``settled``: no proof is wanted of it."""

    command: Command | None
    settled: bool


class Proofs:
    """The part of the ``commands`` table that takes proofs. Raises ``cloud.aws.errors``."""

    def __init__(self, table: Any, name: str) -> None:
        self._table = table
        self._name = name

    def prove(self, device: str, command: str, boot_id: str, at: datetime) -> Proven:
        """Conclude SUCCEEDED of a command that is IN_PROGRESS, since ``device`` was heard with ``boot_id``.

        It replaces what was concluded from silence, and gives way to the device's own word. One call.
        """
        inferred = {"state": CommandState.SUCCEEDED.value, "code": REBOOTED, "at": to_ms(at)}
        step = transition(CommandState.SUCCEEDED, at, by="cloud", code=REBOOTED)
        values: dict[str, object] = {
            ":inferred": inferred,
            ":boot_id": boot_id,
            ":transition": [step],
            ":in_progress": CommandState.IN_PROGRESS.value,
            ":no_proof": _NO_PROOF,
        }
        try:
            with translated():
                answer = self._table.update_item(
                    TableName=self._name,
                    Key=to_item({"device": device, "id": command}),
                    UpdateExpression="SET inferred = :inferred, #result.boot_id = :boot_id,"
                    " transitions = list_append(transitions, :transition)"
                    " REMOVE due_shard, due_at, waiting",
                    ConditionExpression="#state = :in_progress"
                    " AND (attribute_not_exists(inferred) OR inferred.#code = :no_proof)",
                    ExpressionAttributeNames={"#state": "state", "#result": "result", "#code": "code"},
                    ExpressionAttributeValues=to_item(values),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except Conflict as refused:
            item = getattr(refused.__cause__, "response", {}).get("Item", {})
            return Proven(None, settled=not item or CommandState(from_item(item)["state"]) not in NOT_STARTED)
        return Proven(to_command(answer["Attributes"]), settled=True)
