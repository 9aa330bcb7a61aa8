"""A command as the command ledger stores it: one immutable value. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from cloud.domain.commands import command_ledger
from cloud.domain.commands.command_ledger import Inferred, Proof
from cloud.domain.timestamps import from_ms, to_ms
from contract import commands as contract
from contract.commands import AnyCommand, CommandState
from contract.defaults import LOG_BUNDLE_BYTES
from contract.topics import Command as Kind

_COMMON = frozenset(contract.Command.model_fields)


@dataclass(frozen=True, slots=True)
class Command:
    """One ledger entry. ``state`` is the device's last result; ``inferred`` holds until its next one.

    ``parameters`` is what the command's message holds beside what all commands share (JSON types; an
    upload without its URL, which is a secret); ``part_of`` is the group reboot that it belongs to.
    ``due_at`` is when the sweep looks at it, None once nothing can come of that.
    """

    device: str
    id: str
    kind: Kind
    issued_at: datetime
    expires_at: datetime
    requested_by: str
    reason: str
    parameters: Mapping[str, Any]
    state: CommandState
    changed_at: datetime
    part_of: str | None = None
    when_online: bool = False  # delivered when the device comes back, where it is not there now
    warnings: tuple[str, ...] = ()
    inferred: Inferred | None = None
    proof: Proof | None = None  # of a reboot that the device has not said the end of
    result: Mapping[str, Any] = field(default_factory=dict)
    transitions: Sequence[Mapping[str, Any]] = ()
    due_at: datetime | None = None

    @classmethod
    def made_of(
        cls,
        device: str,
        message: contract.Command,
        *,
        part_of: str | None = None,
        when_online: bool = False,
        bundle: bool = False,
        warnings: tuple[str, ...] = (),
    ) -> Self:
        """Return the PENDING entry of ``message``; its times are whole milliseconds, as rows keep them.

        With ``bundle`` it asks for an upload, whose URL ``message`` is given each time it is sent.
        """
        parameters = {name: value for name, value in message.to_dict().items() if name not in _COMMON}
        parameters.pop("command", None)
        if bundle:
            parameters["upload"] = {"max_bytes": LOG_BUNDLE_BYTES}
        issued_at, expires_at = (from_ms(to_ms(at)) for at in (message.issued_at, message.expires_at))
        command = cls(
            device=device,
            id=message.id,
            kind=contract.name_of(message),
            issued_at=issued_at,
            expires_at=expires_at,
            requested_by=message.requested_by,
            reason=message.reason,
            parameters=parameters,
            state=CommandState.PENDING,
            changed_at=issued_at,
            part_of=part_of,
            when_online=when_online,
            warnings=warnings,
            transitions=({"state": CommandState.PENDING.value, "at": issued_at, "by": message.requested_by},),
        )
        return replace(command, due_at=command.next_look(issued_at))

    @property
    def uploads(self) -> bool:
        """Whether its message holds a URL."""
        return "upload" in self.parameters

    @property
    def sent_again(self) -> bool:
        """Whether it is sent again until answered. Not with a URL: the sender may not be able to sign one."""
        return not self.uploads

    def next_look(self, now: datetime) -> datetime:
        """Return when the sweep looks at it, sent ``now``: to send it again, or to end it."""
        last = command_ledger.called_expired_at(self.expires_at)
        return min(now + command_ledger.SENT_AGAIN_AFTER, last) if self.sent_again else last

    def message(self, *, upload_url: str | None = None) -> AnyCommand:
        """Return the message that this entry was made of; one with an upload needs a URL for it.

        Raises:
            pydantic.ValidationError: it has an upload, and there is no URL.
        """
        parameters = dict(self.parameters)
        if self.uploads:
            parameters["upload"] = {"url": upload_url, **parameters["upload"]}
        if self.kind != "reboot":
            parameters["command"] = self.kind
        return contract.command_of(
            {
                "id": self.id,
                "issued_at": self.issued_at,
                "expires_at": self.expires_at,
                "requested_by": self.requested_by,
                "reason": self.reason,
                **parameters,
            }
        )

    def conclusion(self, now: datetime) -> Inferred | None:
        """Return what the cloud infers by ``now``, stored or not; None while the device's result stands."""
        return self.inferred or command_ledger.infer(
            self.state,
            expires_at=self.expires_at,
            changed_at=self.changed_at,
            now=now,
            proof=self.proof,
        )
