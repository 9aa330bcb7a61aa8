"""Patches of the MQTT broker: loopback only, certificates, keep-alive, and nobody is subscribed twice.

Unpatched (ministack 1.5.33) the mTLS listener binds 0.0.0.0 whatever BIND_HOST says and takes clients that
show no certificate, a device that falls silent stays connected for ever (no will, no presence event), and one
that resumes its session and subscribes anew, as the classic nucleus does, gets every message twice.
"""

import asyncio
import contextvars
import logging
import ssl
import weakref
from typing import Any

from ministack.services import iot

log = logging.getLogger(__name__)

#: What AWS IoT Core uses for a keep-alive of 0 or above it (developer guide, "MQTT keep alive").
_KEEP_ALIVE_MAX_S = 1200
_KEEP_ALIVE_FACTOR = 1.5  # MQTT 3.1.1 section 3.1.2.10
_REASON = "MQTT_KEEP_ALIVE_TIMEOUT"
_REASON_CODE_MQTT_5 = 0x8D
_FAREWELL_S = 1.0

_heard_at: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()
_writer: contextvars.ContextVar[asyncio.StreamWriter | None] = contextvars.ContextVar(
    "mqtt_writer", default=None
)
_watches: set[asyncio.Task[None]] = set()


def mend_listener(host: str) -> None:
    """Make the mTLS listener bind ``host``; a port in use leaves ``/_ministack/ready`` unready."""

    async def start() -> None:
        if iot._mtls_server is not None:
            return
        loop = asyncio.get_running_loop()
        iot._mtls_server = await loop.create_server(iot._MtlsAcceptor, host=host, port=iot._mtls_port())
        iot._mtls_loop = loop
        log.info("MQTT over mutual TLS listens: host=%s port=%s", host, iot._mtls_port())

    iot._mtls_start_locked = start


def mend_client_certificate() -> None:
    """Make the listener demand a certificate from its clients, as AWS IoT Core does on this port."""
    build = iot._mtls_build_ssl_context

    def build_context() -> ssl.SSLContext:
        context: ssl.SSLContext = build()
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    iot._mtls_build_ssl_context = build_context


def mend_keep_alive() -> None:
    """End a session whose client is silent for 1.5 times its keep-alive, as a lost connection.

    The will is published, and the disconnected event says ``MQTT_KEEP_ALIVE_TIMEOUT``.
    """
    serve, feed, handle = iot._mtls_serve_conn, iot._feed_session, iot._WSSession.handle_packet

    async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _writer.set(writer)
        await serve(reader, writer)

    async def feed_session(session: Any, data: bytes, max_buffer: int) -> bool:
        _heard_at[session] = asyncio.get_running_loop().time()
        return bool(await feed(session, data, max_buffer))

    async def handle_packet(session: Any, kind: int, flags: int, body: bytes) -> bool:
        goes_on = bool(await handle(session, kind, flags, body))
        if kind == iot.PKT_CONNECT and goes_on:
            silence_s = _KEEP_ALIVE_FACTOR * keep_alive_s(body)
            watch = asyncio.get_running_loop().create_task(_end_when_silent(session, silence_s))
            _watches.add(watch)
            watch.add_done_callback(_watches.discard)
        return goes_on

    iot._mtls_serve_conn = serve_connection
    iot._feed_session = feed_session
    iot._WSSession.handle_packet = handle_packet


def mend_subscribe() -> None:
    """Make a SUBSCRIBE replace the session's subscription to the same filter (MQTT 3.1.1 section 3.8.4)."""
    handle = iot._WSSession.handle_packet

    async def handle_packet(session: Any, kind: int, flags: int, body: bytes) -> bool:
        goes_on = bool(await handle(session, kind, flags, body))
        if kind == iot.PKT_SUBSCRIBE:
            newest = {topic_filter: number for number, topic_filter in session._sub_filters.items()}
            for number in [
                n for n, topic_filter in session._sub_filters.items() if newest[topic_filter] != n
            ]:
                await iot.broker_unsubscribe(number)
                session._sub_ids.remove(number)
                del session._sub_filters[number], session._sub_granted_qos[number]
        return goes_on

    iot._WSSession.handle_packet = handle_packet


def keep_alive_s(connect: bytes) -> int:
    """Return the keep-alive of a CONNECT packet's body: after the protocol's name, level and flags."""
    name_length = int.from_bytes(connect[:2], "big")
    asked = int.from_bytes(connect[4 + name_length : 6 + name_length], "big")
    return asked if 0 < asked <= _KEEP_ALIVE_MAX_S else _KEEP_ALIVE_MAX_S


async def _end_when_silent(session: Any, silence_s: float) -> None:
    loop = asyncio.get_running_loop()
    while not session._cleaned_up:
        left_s = _heard_at.get(session, 0.0) + silence_s - loop.time()
        if left_s > 0:
            await asyncio.sleep(left_s)
            continue
        log.info("client is silent, its session ends: client=%s", session._client_id)
        session._forced_disconnect_reason = _REASON
        if session.protocol_version == iot.MQTT_5:
            await _say(session, iot._make_disconnect(_REASON_CODE_MQTT_5))
        await session.cleanup()
        await _cut(session)


async def _say(session: Any, packet: bytes) -> None:
    try:
        await asyncio.wait_for(session.send_bytes(packet), _FAREWELL_S)
    except (OSError, TimeoutError):
        log.debug("a silent client was not told why: client=%s", session._client_id)


async def _cut(session: Any) -> None:
    writer = _writer.get()
    if writer is not None:
        writer.transport.abort()  # close() would wait for a peer that does not read
    else:
        await session._send({"type": "websocket.close", "code": 1000})
