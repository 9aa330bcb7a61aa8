"""Whether a device is there: which presence event counts, and what state follows from a row.

Pure. Presence events come out of order, more than once and with clocks two minutes apart, so their
version decides and never their time alone; the table's adapter writes ``Presence`` under exactly the
conditions that ``supersedes`` states.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cloud.device import Device
from contract.defaults import OFFLINE_DEBOUNCE_S
from contract.names import ThingName

#: versionNumber restarts at 0 after about an hour offline; an event this much later counts anyway.
VERSION_FORGOTTEN_AFTER = timedelta(minutes=30)

State = Literal["online", "stale", "offline", "unknown"]
_THING = TypeAdapter(ThingName)


class PresenceEvent(BaseModel):
    """``$aws/events/presence/{connected,disconnected}/{clientId}`` as AWS IoT publishes it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    client_id: Annotated[str, Field(alias="clientId", min_length=1, max_length=256)]
    timestamp: Annotated[int, Field(ge=0)]  # milliseconds, of a clock two minutes off either way
    event_type: Annotated[Literal["connected", "disconnected"], Field(alias="eventType")]
    session: Annotated[str, Field(alias="sessionIdentifier", min_length=1, max_length=128)]
    version: Annotated[int, Field(alias="versionNumber", ge=0)]
    disconnect_reason: Annotated[str | None, Field(alias="disconnectReason", max_length=64)] = None


@dataclass(frozen=True, slots=True)
class Presence:
    """What one presence event says, ready for the conditional write."""

    device: str
    connected: bool
    session: str
    version: int
    event_at: datetime  # the event's own time
    received_at: datetime  # the rule's time
    reason: str | None = None  # why it disconnected, kebab-case


class Seen(NamedTuple):
    """A device's state with the reason for it and the time it holds since."""

    state: State
    reason: str
    since: datetime | None


def presence_of(event: PresenceEvent, received_at: datetime) -> Presence | None:
    """Return what ``event`` says of a device, or None when it says nothing.

    Nothing is said by client ids that no thing can have (the nucleus calls its further connections
    ``thing#2``), and by a session that ended because the same client connected again: whatever became
    of that newer connection has events of its own.
    """
    try:
        device = _THING.validate_python(event.client_id)
    except ValidationError:
        return None
    connected = event.event_type == "connected"
    if not connected and event.disconnect_reason == "DUPLICATE_CLIENTID":
        return None
    reason = None if connected else (event.disconnect_reason or "disconnected").lower().replace("_", "-")
    return Presence(
        device=device,
        connected=connected,
        session=event.session,
        version=event.version,
        event_at=datetime.fromtimestamp(event.timestamp / 1000, UTC),
        received_at=received_at,
        reason=reason,
    )


def supersedes(new: Presence, stored: Presence | None) -> bool:
    """Return whether ``new`` replaces ``stored``.

    It does when nothing is stored; when its version is higher; when it ends the very session that is
    stored as connected; or when it is so much later that the version may have started again.
    """
    return (
        stored is None
        or new.version > stored.version
        or (
            new.version == stored.version
            and new.session == stored.session
            and stored.connected
            and not new.connected
        )
        or new.event_at > stored.event_at + VERSION_FORGOTTEN_AFTER
    )


def state(device: Device, now: datetime, *, offline_debounce_s: float = OFFLINE_DEBOUNCE_S) -> Seen:
    """Return the device's state at ``now``.

    ``online``: connected, and heard within three intervals. ``stale``: connected, but its agent is
    silent or said goodbye. ``offline``: disconnected for longer than the debounce, within which it is
    still what it was. ``unknown``: never seen.
    """
    if device.connected is None and device.last_report_at is None:
        return Seen("unknown", "never-seen", device.enrolled_at)
    reconnecting = False
    if device.connected is False and device.offline_since is not None:
        if now >= device.offline_since + timedelta(seconds=offline_debounce_s):
            reason = device.goodbye or device.disconnect_reason or "disconnected"
            return Seen("offline", reason, device.offline_since)
        reconnecting = True
    if device.last_report_at is None or device.stale_at is None:
        return Seen("stale", "no-report-yet", device.connected_since or device.offline_since)
    if device.goodbye is not None:
        return Seen("stale", "agent-stopped", device.last_report_at)
    if device.stale_at < now:
        return Seen("stale", "heartbeat-missed", device.stale_at)
    since = device.connected_since or device.last_report_at
    return Seen("online", "reconnecting" if reconnecting else "connected", since)
