"""The link over Greengrass IPC with the official SDK (awsiotsdk); the only file that imports it.

Callbacks run on the SDK's event-loop thread and do nothing but enqueue. A stream that closes by
itself loses the whole link: a nucleus that restarts voids the token, and half a link looks like a
working one. Connections have a number, so that the last words of an old one are not mistaken for
news of the new one.
"""

import concurrent.futures
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from awscrt.exceptions import AwsCrtError
from awsiot import eventstreamrpc, greengrasscoreipc
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from edge.events import (
    ConfigurationChanged,
    ConfigurationProposed,
    Event,
    LinkLost,
    Received,
    Unreadable,
    UpdateAnnounced,
)
from edge.link import LinkDown, LinkError, Missing, NotSupported, PublishFailed, Unauthorized

ANSWER_S = 10.0  # the longest the nucleus may take for one answer

log = logging.getLogger(__name__)


class GreengrassLink:
    """The ``Link`` of a real component; socket and token are those of its environment."""

    def __init__(self, *, socket: str, token: str, deliver: Callable[[Event], None]) -> None:
        self._socket = socket
        self._token = token
        self._deliver = deliver
        self._client: GreengrassCoreIPCClientV2 | None = None
        self._connection = 0

    def connect(self) -> None:
        self.close()
        number = self._connection
        try:
            client = greengrasscoreipc.connect(
                ipc_socket=self._socket,
                authtoken=self._token,
                lifecycle_handler=_Lifecycle(lambda reason: self._lost(number, reason)),
                timeout=ANSWER_S,
            )
        # The SDK raises its own RuntimeErrors, the C runtime's errors and the future's TimeoutError here.
        except (RuntimeError, AwsCrtError, OSError, concurrent.futures.TimeoutError) as error:
            raise LinkDown(f"cannot connect to the nucleus: {_text(error)}") from error
        self._client = GreengrassCoreIPCClientV2(client=client, executor=None)

    def subscribe(self, topic: str) -> None:
        def arrived(event: Any) -> None:
            if event.message is not None:
                self._deliver(
                    Received(event.message.topic_name or topic, bytes(event.message.payload or b""))
                )

        with _translated(f"subscribe to {topic}"):
            future, _ = self._connected().subscribe_to_iot_core_async(
                topic_name=topic,
                qos=model.QOS.AT_LEAST_ONCE,
                on_stream_event=arrived,
                on_stream_error=self._unreadable(topic),
                on_stream_closed=self._closed(topic, lambda: future),
            )
            future.result(ANSWER_S)

    def watch_configuration(self) -> None:
        with _translated("subscribe to configuration updates"):
            # The whole configuration, because Lite refuses to watch a key that does not exist yet.
            future, _ = self._connected().subscribe_to_configuration_update_async(
                on_stream_event=lambda _: self._deliver(ConfigurationChanged()),
                on_stream_error=self._unreadable("configuration"),
                on_stream_closed=self._closed("configuration", lambda: future),
            )
            future.result(ANSWER_S)

    def configuration(self, *key_path: str) -> Mapping[str, object]:
        with _translated("get configuration"):
            answer = self._connected().get_configuration_async(key_path=list(key_path)).result(ANSWER_S)
            value = answer.value
        if isinstance(value, dict):
            return value
        return {key_path[-1]: value} if key_path and value is not None else {}  # classic gives a bare scalar

    def watch_updates(self) -> None:
        def announced(event: Any) -> None:
            if event.pre_update_event is not None:  # the other one says that it is over
                self._deliver(UpdateAnnounced(str(event.pre_update_event.deployment_id)))

        with _translated("subscribe to component updates"):
            future, _ = self._connected().subscribe_to_component_updates_async(
                on_stream_event=announced,
                on_stream_error=self._unreadable("component updates"),
                on_stream_closed=self._closed("component updates", lambda: future),
            )
            future.result(ANSWER_S)

    def watch_proposals(self) -> None:
        def proposed(event: Any) -> None:
            proposal = event.validate_configuration_update_event
            if proposal is not None:
                self._deliver(
                    ConfigurationProposed(str(proposal.deployment_id), proposal.configuration or {})
                )

        with _translated("subscribe to configuration proposals"):
            future, _ = self._connected().subscribe_to_validate_configuration_updates_async(
                on_stream_event=proposed,
                on_stream_error=self._unreadable("configuration proposals"),
                on_stream_closed=self._closed("configuration proposals", lambda: future),
            )
            future.result(ANSWER_S)

    def allow_update(self, deployment_id: str, *, after_s: float) -> None:
        with _translated("allow the update"):
            self._connected().defer_component_update_async(
                deployment_id=deployment_id, recheck_after_ms=int(after_s * 1000)
            ).result(ANSWER_S)

    def judge(self, deployment_id: str, refusal: str | None) -> None:
        report = model.ConfigurationValidityReport(
            status=model.ConfigurationValidityStatus.ACCEPTED
            if refusal is None
            else model.ConfigurationValidityStatus.REJECTED,
            deployment_id=deployment_id,
            message=refusal,
        )
        with _translated("judge the configuration"):
            self._connected().send_configuration_validity_report_async(
                configuration_validity_report=report
            ).result(ANSWER_S)

    def publish(self, topic: str, payload: bytes) -> None:
        try:
            with _translated(f"publish to {topic}"):
                self._connected().publish_to_iot_core_async(
                    topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, payload=payload
                ).result(ANSWER_S)
        except NotSupported as error:
            raise PublishFailed(f"publish to {topic}: refused") from error

    def close(self) -> None:
        self._connection += 1
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(RuntimeError, AwsCrtError):
                client.close()

    def _connected(self) -> GreengrassCoreIPCClientV2:
        if self._client is None:
            raise LinkDown("not connected")
        return self._client

    def _lost(self, number: int, reason: str) -> None:
        if number == self._connection:
            self._deliver(LinkLost(reason))

    def _closed(
        self, what: str, future: Callable[[], "concurrent.futures.Future[Any]"]
    ) -> Callable[[], None]:
        number = self._connection

        def closed() -> None:
            # A refused subscription closes its stream too; its caller has the error already.
            if future().done() and future().exception() is None:
                self._lost(number, f"stream closed: {what}")

        return closed

    def _unreadable(self, topic: str) -> Callable[[Exception], bool]:
        def unreadable(_: Exception) -> bool:
            self._deliver(Unreadable(topic))
            return False  # keep the stream: one bad message must not silence the device

        return unreadable


class _Lifecycle(eventstreamrpc.LifecycleHandler):  # type: ignore[misc]  # the SDK is untyped
    def __init__(self, lost: Callable[[str], None]) -> None:
        self._on_lost = lost

    def on_disconnect(self, reason: Exception | None) -> None:
        self._on_lost("connection closed" if reason is None else _text(reason))

    def on_error(self, error: Exception) -> bool:  # noqa: ARG002  # on_disconnect follows with it
        return True


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Let nothing of the SDK through; the order matters, because its errors inherit from RuntimeError."""
    try:
        yield
    except LinkError:
        raise
    except model.UnauthorizedError as error:
        raise Unauthorized(what) from error
    except model.ResourceNotFoundError as error:
        raise Missing(what) from error
    except model.ServiceError as error:
        raise NotSupported(what) from error
    except model.GreengrassCoreIPCError as error:
        refused = LinkError(f"{what}: {type(error).__name__}: {error.message or ''}")
        raise refused from error
    except concurrent.futures.TimeoutError as error:
        raise LinkDown(f"{what}: no answer within {ANSWER_S:.0f} s") from error
    except (RuntimeError, AwsCrtError, OSError) as error:
        raise LinkDown(f"{what}: {_text(error)}") from error


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
