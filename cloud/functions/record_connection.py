"""Presence events, hello and goodbye, invoked directly by their rules (asynchronous, retried by AWS).

An exception makes Lambda try again and then puts the event into the dead-letter queue; whatever
trying again cannot mend is therefore never raised.
"""

import logging
import os

from cloud.aws.clients import client
from cloud.ingest import Malformed, Received, not_enrolled, refuse
from cloud.presence import presence_of
from cloud.tables.devices import Devices, Effect

log = logging.getLogger(__name__)
FUNCTION = "record-connection"


def record(event: object, devices: Devices) -> str:
    """Apply one event and return what it did: an ``Effect``, ``ignored`` or ``malformed``."""
    try:
        received = Received.of(event)
        if received.topic.startswith("$aws/events/presence/"):
            return _presence(received, devices)
        return _said(received, devices)
    except Malformed as malformed:
        refuse(malformed, FUNCTION)
        return "malformed"


def _presence(received: Received, devices: Devices) -> str:
    if received.topic.split("/")[3] not in ("connected", "disconnected"):
        return "ignored"  # AWS tells of refused connections (connect_failed) in the same place
    presence = presence_of(received.presence(), received.received_at)
    if presence is None or not devices.record_presence(presence):
        return "ignored"
    log.info("presence: device=%s connected=%s", presence.device, presence.connected)
    return Effect.CHANGED


def _said(received: Received, devices: Devices) -> str:
    news = received.connection()
    applied = devices.apply(news)
    if applied.effect is Effect.NOT_ENROLLED:
        not_enrolled(news.device, received.topic, FUNCTION)
    else:
        log.info("connection event: device=%s effect=%s", news.device, applied.effect)
    return applied.effect


def handler(event: object, context: object) -> dict[str, str]:  # noqa: ARG001
    """Lambda's entry."""
    logging.getLogger().setLevel(logging.INFO)
    devices = Devices(client("dynamodb"), os.environ["DEVICES_TABLE"])
    return {"effect": record(event, devices)}
