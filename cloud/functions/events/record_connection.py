"""Recorder of presence, hello and goodbye, invoked directly by their rules (asynchronous, retried by AWS).

An exception makes Lambda try again and then puts the event into the dead-letter queue. So errors that a
retry cannot fix are never raised.
"""

import logging
from collections.abc import Callable

from cloud.clock import utc_now
from cloud.domain.devices.presence import presence_of
from cloud.services.reboot_proofs import RebootProofs
from cloud.services.redelivery import Redelivery
from cloud.services.rule_messages import Malformed, RuleMessage, not_enrolled, refuse
from cloud.tables.devices import Devices, Effect
from cloud.telemetry.logs import log_context, log_event, start_logging
from cloud.wiring.devices import devices
from cloud.wiring.dispatcher import dispatcher
from cloud.wiring.proofs import proofs
from cloud.wiring.wake_ups import wake_ups

log = logging.getLogger(__name__)


def record(event: object, devices: Devices, is_back: Callable[[str], object], reboots: RebootProofs) -> str:
    """Apply one event and return what it did: an ``Effect``, ``ignored`` or ``malformed``.

    ``is_back`` is told of a device that connected, and again when it says hello: only then it listens.
    ``reboots`` looks whether a hello is of another boot than the one that a device was about to end.
    """
    try:
        received = RuleMessage.of(event)
        with log_context(topic=received.topic):
            if received.topic.startswith("$aws/events/presence/"):
                return _presence(received, devices, is_back)
            return _said(received, devices, is_back, reboots)
    except Malformed as malformed:
        refuse(malformed)
        return "malformed"


def _presence(received: RuleMessage, devices: Devices, is_back: Callable[[str], object]) -> str:
    if received.topic.split("/")[3] not in ("connected", "disconnected"):
        return "ignored"  # AWS tells of refused connections (connect_failed) in the same place
    presence = presence_of(received.presence(), received.received_at)
    if presence is None:
        return "ignored"
    effect = Effect.CHANGED if devices.record_presence(presence) else "ignored"
    log_event(log, "presence", device=presence.device, connected=presence.connected, effect=effect)
    if effect == Effect.CHANGED and presence.connected:
        is_back(presence.device)
    return effect


def _said(
    received: RuleMessage, devices: Devices, is_back: Callable[[str], object], reboots: RebootProofs
) -> str:
    news = received.connection()
    applied = devices.apply(news)
    if applied.effect is Effect.NOT_ENROLLED:
        not_enrolled(news.device, received.topic)
        return applied.effect
    log_event(log, "connection event", device=news.device, goodbye=news.goodbye, effect=applied.effect)
    if applied.device is not None:
        reboots.look(applied.device)
    if news.goodbye is None:  # an old hello too: the call that took it may have failed after that
        is_back(news.device)
    return applied.effect


def handler(event: object, context: object) -> dict[str, str]:  # noqa: ARG001
    """Lambda's entry."""
    start_logging()
    redelivery, table = Redelivery(dispatcher()), devices()
    effect = record(
        event,
        table,
        lambda device: redelivery.device_is_back(device, utc_now()),
        RebootProofs(table, proofs(), wake_ups()),
    )
    return {"effect": effect}
