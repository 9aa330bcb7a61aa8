"""Presence of a device: the meaning of a presence event, and the state that a row implies. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cloud.defaults import FLAP_WINDOW_S, OFFLINE_DEBOUNCE_S
from cloud.domain.devices.device import Device
from cloud.domain.timestamps import LATEST_MS, from_ms
from contract.names import ThingName

State = Literal["online", "stale", "offline", "unknown"]
#: An agent that falls silent later than this after a deployment is silent for another reason.
LOST_WITHIN = timedelta(days=1)
_THING = TypeAdapter(ThingName)


class PresenceEvent(BaseModel):
    """``$aws/events/presence/{connected,disconnected}/{clientId}`` as AWS IoT publishes it."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    client_id: Annotated[str, Field(alias="clientId", min_length=1, max_length=256)]
    timestamp: Annotated[
        int, Field(ge=0, le=LATEST_MS)
    ]  # milliseconds, of a clock two minutes off either way
    event_type: Annotated[Literal["connected", "disconnected"], Field(alias="eventType")]
    session: Annotated[str, Field(alias="sessionIdentifier", min_length=1, max_length=128)]
    version: Annotated[int, Field(alias="versionNumber", ge=0)]
    disconnect_reason: Annotated[str | None, Field(alias="disconnectReason", max_length=64)] = None


@dataclass(frozen=True, slots=True)
class Presence:
    """The content of one presence event, ready for the conditional write."""

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
        event_at=from_ms(event.timestamp),
        received_at=received_at,
        reason=reason,
    )


def state(device: Device, now: datetime, *, offline_debounce_s: float = OFFLINE_DEBOUNCE_S) -> Seen:
    """Return the device's state at ``now``.

    ``online``: connected, and a report came within three intervals. ``stale``: connected, but its agent is
    silent or said goodbye. ``offline``: disconnected for longer than the debounce, within which it keeps
    its earlier state. ``unknown``: never seen.
    """
    if device.connected is None and device.last_report_at is None:
        return Seen("unknown", "never-seen", device.enrolled_at)
    debounce = timedelta(seconds=offline_debounce_s)
    if device.offline_since is not None and now >= device.offline_since + debounce:
        reason = device.goodbye or device.disconnect_reason or "disconnected"
        return Seen("offline", reason, device.offline_since)
    there_since = _there_since(device, debounce)
    if device.last_report_at is None or device.stale_at is None:
        return Seen("stale", "no-report-yet", there_since or device.offline_since)
    if device.goodbye is not None:
        return Seen("stale", "agent-stopped", _later(device.last_report_at, there_since))
    if device.stale_at < now:
        return Seen("stale", "heartbeat-missed", _later(device.stale_at, there_since))
    reason = "connected" if device.offline_since is None else "reconnecting"
    since = there_since or device.reporting_since or device.last_report_at
    return Seen("online", reason, _later(since, device.reporting_since))


def lost_at(device: Device, given_at: Iterable[datetime], now: datetime) -> datetime | None:
    """Return the time of the change to its group with which the agent fell silent.

    Its core is connected, the agent was reporting in time then, its last message came within
    ``LOST_WITHIN`` of it, and it is overdue. A goodbye counts as any last message: an update stops the
    agent, and the new one may not start. The latest such time; None where there is none.
    """
    said_at, stale_at = device.last_report_at, device.stale_at
    if device.connected is not True or said_at is None or stale_at is None or stale_at >= now:
        return None
    return max(
        (each for each in given_at if each <= stale_at and said_at <= each + LOST_WITHIN), default=None
    )


def flap_count(device: Device, now: datetime) -> int:
    """Return how many connections ended within the last ``FLAP_WINDOW_S``, of those that a row keeps.

    A connection that another one of the same client took over did not end.
    """
    begin = now - timedelta(seconds=FLAP_WINDOW_S)
    return sum(connection.ended > begin for connection in device.connections)


def _there_since(device: Device, debounce: timedelta) -> datetime | None:
    """Return since when the device has not been away for the debounce; None where nobody told."""
    since = device.connected_since
    for began, ended in device.connections:
        if since is not None and since - ended >= debounce:
            break
        if began is None:
            return since or ended
        since = began
    return since


def _later(one: datetime, other: datetime | None) -> datetime:
    return one if other is None else max(one, other)
