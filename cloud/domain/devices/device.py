"""A device as the cloud knows it: one immutable value, made from one row.

Every time here is the server's (the rule engine's ``timestamp()``), aware and UTC; of the device's own clock
only ``clock_skew_s`` is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from contract.names import Nucleus


class Connection(NamedTuple):
    """A connection that ended; ``began`` is None where no event told of its beginning."""

    began: datetime | None
    ended: datetime


#: A device that reports the old boot id this long after it began to reboot did not reboot; its own grace is
#: two minutes, and a message from before the reboot may arrive late.
STILL_UP_AFTER = timedelta(minutes=10)


class Rebooting(NamedTuple):
    """A reboot that the device began by command: a later message of another boot proves it."""

    command: str
    boot_id: str  # of the boot in which it began
    at: datetime  # when that was reported, by the rule's time
    older_boot_id: str | None = None  # what the row knew then of a boot before that one: it proves nothing


@dataclass(frozen=True, slots=True)
class Device:
    """One enrolled device: its connection, and its newest reported facts.

    ``connected`` is None until the first presence event; ``presence_*`` are of the newest one that
    counted. ``connections`` are the last ones that ended, the newest first, at most
    ``device_reducer.CONNECTIONS_KEPT``. ``goodbye`` is set while a goodbye is the newest message.
    ``applications`` maps a name to its status as reported (``contract.reports``,
    JSON types); ``application_sequences`` says by which report each of them is known.
    """

    name: str
    group: str | None
    enrolled_at: datetime
    connected: bool | None = None
    connected_since: datetime | None = None  # None while disconnected
    offline_since: datetime | None = None  # None while connected
    disconnect_reason: str | None = None  # of the last connection that ended
    presence_session: str | None = None  # None while it is a message that says that it is connected
    presence_version: int | None = None
    presence_event_at: datetime | None = None  # by the event's own clock
    connections: tuple[Connection, ...] = ()
    epoch: str | None = None
    sequence: int = -1
    last_report_at: datetime | None = None  # the newest hello, report or goodbye
    stale_at: datetime | None = None
    reporting_since: datetime | None = None  # since when every report has come in time
    interval_s: float | None = None
    agent_version: str | None = None
    nucleus: Nucleus | None = None  # None until an agent said it that knows
    level: int = 0  # what its agent can (contract.defaults.LEVEL); 0 too where it never said
    boot_id: str | None = None
    goodbye: str | None = None  # "shutdown" or "reboot"
    clock_skew_s: float | None = None  # device time − server time
    malformed_messages: int = 0
    engine: str | None = None
    host: Mapping[str, Any] = field(default_factory=dict)
    desired: Mapping[str, Any] = field(default_factory=dict)
    application_names: tuple[str, ...] | None = None
    names_sequence: int = -1
    applications: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    application_sequences: Mapping[str, int] = field(default_factory=dict)
    state_changes: int = 0  # how many changes of an application's state were reported
    history_at: datetime | None = None  # the newest span that has a point in the history
    rebooting: Rebooting | None = None  # until it is proven, or the device has said how it ended
    writes: int = 0  # how many messages made this row; orders what is derived from it

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups it belongs to; at most one is deployed to, and that is the only one we keep."""
        return () if self.group is None else (self.group,)

    @property
    def architecture(self) -> str | None:
        """``amd64``, ``arm64`` or ``arm``; None until its first report."""
        return self.host.get("architecture")
