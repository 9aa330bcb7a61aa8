"""The device reducer: a device's row after one more event, from the broker or from the device itself.

Pure, and the only place where this is decided. The table writes what ``after`` returns, under DynamoDB
conditions that express the same rules (``cloud.tables.rows.device_rows``); tests compare the two.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from cloud.domain.devices.device import Connection, Device
from cloud.domain.devices.device_messages import DeviceMessage, apply_message
from cloud.domain.devices.presence import Presence

#: versionNumber restarts at 0 after about an hour offline; an event this much later counts anyway.
VERSION_FORGOTTEN_AFTER = timedelta(minutes=30)
#: A message this much later than a disconnect came by a later connection, whose event was lost or is late.
#: Both times are the rule engine's; AWS allows two minutes between the clocks of its hosts.
LATER_CONNECTION_AFTER = timedelta(minutes=2)
CONNECTIONS_KEPT = 20  # those that ended; so many disconnects are counted at most


def after(device: Device, event: Presence | DeviceMessage) -> Device:
    """Return ``device`` after ``event``; the same object when the event changes nothing."""
    if isinstance(event, DeviceMessage):
        return apply_message(_reconnected(device, event), event)
    if not supersedes(event, device):
        return device
    return _connected(device, event) if event.connected else _disconnected(device, event)


def supersedes(event: Presence, device: Device) -> bool:
    """Return whether a presence event is newer than what the device's row has.

    It is if the row has none yet; if its version is higher than the stored one; if it ends the very session
    that is stored as connected; or if it is so much later that the version may have started again. The end
    of a connection does not count once a message came by a later connection.
    """
    if not event.connected and _was_heard_after(device, event.received_at):
        return False
    if device.presence_version is None or device.presence_event_at is None:
        return True
    return (
        event.version > device.presence_version
        or (
            event.version == device.presence_version
            and event.session == device.presence_session
            and device.connected is True
            and not event.connected
        )
        or event.event_at > device.presence_event_at + VERSION_FORGOTTEN_AFTER
    )


def is_by_a_later_connection(news: DeviceMessage, disconnected_at: datetime) -> bool:
    """Return whether ``news`` shows that the device has connected again since ``disconnected_at``.

    The rule's time of the message decides, never the device's: what lay in an outbox or in the core's
    spool is received when there is a connection again. A goodbye shows nothing that lasts.
    """
    return news.goodbye is None and news.received_at > disconnected_at + LATER_CONNECTION_AFTER


def _reconnected(device: Device, news: DeviceMessage) -> Device:
    """Return the device as connected where ``news`` shows that it is.

    The session is forgotten, so that its end, should it be told once more, ends nothing again.
    """
    if device.offline_since is None or not is_by_a_later_connection(news, device.offline_since):
        return device
    return replace(
        device,
        connected=True,
        connected_since=news.received_at,
        offline_since=None,
        presence_session=None,
    )


def _was_heard_after(device: Device, disconnected_at: datetime) -> bool:
    return (
        device.goodbye is None
        and device.last_report_at is not None
        and device.last_report_at > disconnected_at + LATER_CONNECTION_AFTER
    )


def _connected(device: Device, event: Presence) -> Device:
    return replace(
        device,
        connected=True,
        # A takeover by the same client continues what there was.
        connected_since=device.connected_since or event.received_at,
        offline_since=None,
        presence_session=event.session,
        presence_version=event.version,
        presence_event_at=event.event_at,
    )


def _disconnected(device: Device, event: Presence) -> Device:
    ended = Connection(device.connected_since, event.received_at)
    return replace(
        device,
        connected=False,
        connected_since=None,
        offline_since=event.received_at,
        disconnect_reason=event.reason or "disconnected",
        presence_session=event.session,
        presence_version=event.version,
        presence_event_at=event.event_at,
        connections=(ended, *device.connections)[:CONNECTIONS_KEPT],
    )
