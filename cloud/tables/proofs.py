"""Reboot proofs, as the command ledger stores them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.aws.attributes import from_item, to_item
from cloud.aws.clients import translated
from cloud.aws.errors import Conflict
from cloud.domain.commands.command import Command
from cloud.domain.commands.command_ledger import NOT_STARTED, PROVEN_AFTER, REBOOTED
from cloud.domain.timestamps import to_ms
from cloud.tables.rows.command_rows import shard, to_command, transition
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
        """Store that ``device`` reported ``boot_id`` after it began ``command``, which is IN_PROGRESS.

        The command is called SUCCEEDED when the device does not say so itself for a while
        (``command_ledger``), and at once where silence was taken for a failure before. One call, then two.
        """
        values: dict[str, object] = {":boot_id": boot_id, ":in_progress": CommandState.IN_PROGRESS.value}
        due_at = to_ms(at + PROVEN_AFTER)
        shard_of = {":shard": shard(command), ":due_at": due_at}
        item, refused = self._update(
            device, command,
            "SET proof = :proof, #result.boot_id = :boot_id, due_shard = :shard, due_at = :due_at",
            "#state = :in_progress AND attribute_not_exists(inferred) AND attribute_not_exists(proof)",
            {"#state": "state", "#result": "result"},
            {**values, **shard_of, ":proof": {"boot_id": boot_id, "at": to_ms(at)}},
        )  # fmt: skip
        before = from_item(item)
        if not refused:
            return Proven(to_command(item), settled=True)
        if before.get("inferred", {}).get("code") != _NO_PROOF:
            known = CommandState(before["state"]) if before else None
            return Proven(None, settled=known not in NOT_STARTED)
        inferred = {"state": CommandState.SUCCEEDED.value, "code": REBOOTED, "at": to_ms(at)}
        step = transition(CommandState.SUCCEEDED, at, by="cloud", code=REBOOTED)
        item, refused = self._update(
            device, command,
            "SET inferred = :inferred, #result.boot_id = :boot_id,"
            " transitions = list_append(transitions, :transition)",
            "#state = :in_progress AND inferred.#code = :no_proof",
            {"#state": "state", "#result": "result", "#code": "code"},
            {**values, ":inferred": inferred, ":transition": [step], ":no_proof": _NO_PROOF},
        )  # fmt: skip
        return Proven(None if refused else to_command(item), settled=True)

    def _update(
        self,
        device: str,
        command: str,
        change: str,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, object],
    ) -> tuple[Mapping[str, Any], bool]:
        """Return the row after the change, or as it is where the change was refused, and whether it was."""
        try:
            with translated():
                answer = self._table.update_item(
                    TableName=self._name,
                    Key=to_item({"device": device, "id": command}),
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=dict(names),
                    ExpressionAttributeValues=to_item(values),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except Conflict as error:
            item: Mapping[str, Any] = getattr(error.__cause__, "response", {}).get("Item", {})
            return item, True
        return answer["Attributes"], False
