"""The device's one MQTT connection: mutual TLS with its own certificate, client id = thing name.

One thread connects, again and again for ever; paho's hands messages out. As long as its process lives,
classic keeps its session at the broker and spools in memory what is published (QoS 1) while offline: a new
process starts clean, with nothing spooled. Lite does neither.
"""

import logging
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from local.greengrass.nucleus.device import Device
from local.greengrass.nucleus.ipc.broker import BrokerUnavailable, Deliver, Subscriptions, Waiting, nothing

log = logging.getLogger(__name__)

_WRITE_S = 1.0
_BACK_OFF_S = 0.2  # doubled with each failure, up to the device's own bound
_SESSION_S = 3600
_SPOOL_BYTES = 2_621_440  # the nucleus' default ``mqtt.spooler.maxSizeInBytes``


def back_off_s(failures: int, longest_s: float) -> float:
    """Return how long to wait before the next try, after that many failures in a row."""
    return min(_BACK_OFF_S * 2.0 ** min(failures, 30), longest_s)


class MqttConnection:
    """A Broker over the network; safe from any thread."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._subscriptions = Subscriptions()
        self._lock = threading.Lock()
        self._spool: deque[tuple[str, bytes, int]] = deque()
        self._spooled_bytes = 0
        self._online = threading.Event()
        self._ending = threading.Event()
        self._lost = threading.Event()
        self._away_s = 0.0
        self._back = threading.Event()
        self._was_online = False
        self._was_ever_online = False
        self._waiting = Waiting()
        self._writer: int | None = None  # the thread of the connection that stands
        self._when_online: list[Callable[[], None]] = []
        self._client = self._make_client()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def start(self) -> None:
        """Connect, and stay connected until stopped."""
        self._thread.start()

    def stop(self) -> None:
        """Say DISCONNECT and end: an orderly shutdown raises no will."""
        self._ending.set()
        self._back.set()
        if not self._online.is_set():
            self._lost.set()
        self._client.disconnect()
        self._thread.join(timeout=5)

    def cut(self) -> None:
        """Vanish without DISCONNECT, as a machine without power does."""
        self._ending.set()
        self._back.set()
        self._online.clear()
        self._drop_socket()
        self._lost.set()
        self._thread.join(timeout=5)

    def disconnect_for(self, seconds: float) -> None:
        """Lose the connection without DISCONNECT and stay away for so long, or until ``reconnect``."""
        log.warning("mqtt disconnected for a while: seconds=%s", seconds)
        self._back.clear()
        self._away_s = seconds
        self._online.clear()
        self._drop_socket()

    def reconnect(self) -> None:
        """End the time away."""
        self._back.set()

    def on_online(self, action: Callable[[], None]) -> None:
        """Run ``action`` on the connection's thread whenever a connection stands and is subscribed."""
        self._when_online.append(action)

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """See Broker."""
        with self._lock:
            online = self._online.is_set()
            if online:
                self._send(topic, payload, qos)
            else:
                self._keep(topic, payload, qos)
        if online and threading.get_ident() != self._writer:
            self._wait_until_written()

    def subscribe(
        self, topic_filter: str, qos: int, deliver: Deliver, taken: Callable[[], None] = nothing
    ) -> Callable[[], None]:
        """See Broker. Classic takes one while offline, once it was connected, and makes it when back."""
        if not self._online.is_set() and not self._device.nucleus.spools:
            raise BrokerUnavailable("not connected")
        forget: Callable[[], None] = nothing
        with self._lock:
            remove = self._subscriptions.add(topic_filter, qos, deliver)
            if self._online.is_set():
                self._subscribe({topic_filter: qos})
            waits = not self._was_ever_online
            if waits:
                forget = self._waiting.add(taken)
        if not waits:
            taken()

        def stop() -> None:
            forget()
            if remove() and self._online.is_set() and not self._ending.is_set():
                self._client.unsubscribe(topic_filter)

        return stop

    def _subscribe(self, wanted: Mapping[str, int]) -> None:
        self._client.subscribe([(name, SubscribeOptions(min(qos, 1))) for name, qos in wanted.items()])

    def _make_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._device.thing,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        context = ssl.create_default_context(cafile=str(self._device.ca_path))
        context.check_hostname = False  # the emulator's certificate may not name the loopback address
        context.load_cert_chain(str(self._device.cert_path), str(self._device.key_path))
        client.tls_set_context(context)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        client.on_subscribe = self._subscribed
        return client

    def _run(self) -> None:
        failures = 0
        while not self._ending.is_set():
            try:
                self._connect()
            except (OSError, ssl.SSLError) as error:
                log.warning("mqtt connection failed: error=%s", error)
                self._ending.wait(back_off_s(failures, self._device.reconnect_max_s))
                failures += 1
                continue
            self._lost.clear()
            self._client.loop_start()
            self._lost.wait()
            self._client.loop_stop()
            failures = 0 if self._was_online else failures + 1
            self._was_online = False
            if self._away_s:
                self._back.wait(self._away_s)
                self._away_s = 0.0
            else:
                self._ending.wait(back_off_s(failures, self._device.reconnect_max_s))

    def _connect(self) -> None:
        """Connect and throw away an earlier process' session; its own is kept where it is persistent."""
        persistent = self._device.nucleus.persistent_session
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_S if persistent else 0
        self._client.connect(
            self._device.mqtt_host,
            self._device.mqtt_port,
            self._device.keep_alive_s,
            clean_start=not (persistent and self._was_ever_online),
            properties=properties,
        )

    def _connected(
        self,
        _client: paho.Client,
        _userdata: object,
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            log.error("mqtt connection refused: reason=%s", reason)
            return
        self._writer = threading.get_ident()
        with self._lock:
            wanted = self._subscriptions.filters()
            if wanted:
                self._subscribe(wanted)
            self._online.set()
            self._was_online = self._was_ever_online = True
            while self._spool:
                self._send(*self._spool.popleft())
            self._spooled_bytes = 0
        log.info("mqtt connected: client=%s", self._device.thing)  # now: what is sent from here on is heard
        self._waiting.answer()
        for action in self._when_online:
            action()

    def _disconnected(
        self,
        _client: paho.Client,
        _userdata: object,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._online.clear()
        self._lost.set()
        if not self._ending.is_set():
            log.warning("mqtt connection lost: reason=%s", reason)

    def _received(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        try:
            self._subscriptions.dispatch(message.topic, bytes(message.payload))
            log.info("mqtt message handed on: topic=%s bytes=%d", message.topic, len(message.payload))
        except Exception:
            log.exception("a message was not handled: topic=%s bytes=%d", message.topic, len(message.payload))

    def _subscribed(
        self,
        _client: paho.Client,
        _userdata: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            log.error("the broker refused a subscription: reasons=%s", [str(reason) for reason in reasons])

    def _send(self, topic: str, payload: bytes, qos: int) -> None:
        try:
            self._client.publish(topic, payload, min(qos, 1))
        except ValueError as error:
            # The recorded nucleus answers success and the broker cuts it off; paho refuses before that.
            log.warning("not published: topic=%s error=%s", topic, error)

    def _keep(self, topic: str, payload: bytes, qos: int) -> None:
        size = len(topic) + len(payload)
        if not self._device.nucleus.spools:
            raise BrokerUnavailable("not connected")
        if qos == 0:
            raise BrokerUnavailable("Device is offline. Dropping QoS 0 message.")
        if self._spooled_bytes + size > _SPOOL_BYTES:
            raise BrokerUnavailable("Message spool is full. Message could not be added.")
        self._spool.append((topic, payload, qos))
        self._spooled_bytes += size

    def _wait_until_written(self) -> None:
        """Let the connection's thread write what was handed to it: the recorded nucleus writes, then answers.

        So the last words before the power goes are on their way; whether they arrive, nobody knows.
        """
        deadline = time.monotonic() + _WRITE_S
        while self._client.want_write() and self._online.is_set() and time.monotonic() < deadline:
            time.sleep(0.001)

    def _drop_socket(self) -> None:
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
