"""The link over Greengrass IPC with the official SDK (awsiotsdk); the only file that imports it.

Callbacks run on the SDK's event-loop thread and only enqueue; but an update notification is answered
there. A stream that closes by itself counts as the loss of the whole link: a nucleus that restarts voids the
token, and a link with missing streams looks like a working one. Connections have a number, so that late
events of an old connection are not taken for events of the new one.
"""

import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from awscrt.exceptions import AwsCrtError
from awsiot import eventstreamrpc, greengrasscoreipc
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from edge.clock import SystemClock
from edge.events import ConfigurationChanged, Event, LinkAnswered, LinkLost, MessageReceived, Unreadable
from edge.ports.clock import Clock
from edge.ports.link import (
    LinkDown,
    LinkError,
    Missing,
    NotSupported,
    PublishFailed,
    QoS,
    TokenRefused,
    Unauthorized,
)

CONNECT_S = 10.0  # the longest that connecting, and the first answer of a nucleus that starts, may take
#: The longest that the loop waits for one answer; both nuclei give it in milliseconds, also without a broker.
ANSWER_S = 2.0
#: An answer that has not come keeps the loop from waiting for another one for this long.
UNANSWERED_S = 60.0

_QOS = {0: model.QOS.AT_MOST_ONCE, 1: model.QOS.AT_LEAST_ONCE}

log = logging.getLogger(__name__)

Answer = concurrent.futures.Future[Any]


class GreengrassLink:
    """The ``Link`` of a real component; socket and token are those of its environment."""

    def __init__(
        self, *, socket: str, token: str, deliver: Callable[[Event], None], clock: Clock | None = None
    ) -> None:
        self._socket = socket
        self._token = token
        self._deliver = deliver
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()  # around both of the next, as connecting has a thread of its own
        self._client: GreengrassCoreIPCClientV2 | None = None
        self._connection = 0
        self._number = 0  # of this connection, for its user
        self._patience_s = CONNECT_S  # until the first answer
        self._unanswered: Answer | None = None
        self._unanswered_until_s = 0.0

    def connect(self) -> None:
        """Connect, or connect again, and wait until it is done.

        Raises:
            LinkDown: no nucleus listens.
            TokenRefused: the token is not (or no longer) good.
        """
        self._open(self._next_connection(), 0)

    def reconnect(self, number: int) -> None:
        connection, self._number = self._next_connection(), number

        def connect() -> None:
            try:
                self._open(connection, number)
            except LinkDown as error:
                self._deliver(LinkAnswered(number, error))
            else:
                self._deliver(LinkAnswered(number))

        try:
            threading.Thread(target=connect, name="connect", daemon=True).start()
        except RuntimeError as error:  # a machine out of threads or memory
            raise LinkDown(f"cannot connect to the nucleus: {error}") from error

    def subscribe(self, topic: str, number: int) -> None:
        def arrived(event: Any) -> None:
            if event.message is not None:
                self._deliver(
                    MessageReceived(event.message.topic_name or topic, bytes(event.message.payload or b""))
                )

        self._begin(
            number,
            f"subscribe to {topic}",
            lambda closed: self._connected().subscribe_to_iot_core_async(
                topic_name=topic,
                qos=model.QOS.AT_LEAST_ONCE,
                on_stream_event=arrived,
                on_stream_error=self._unreadable(topic),
                on_stream_closed=closed,
            ),
        )

    def watch_configuration(self, number: int) -> None:
        # The whole configuration, because Lite refuses to watch a key that does not exist yet.
        self._begin(
            number,
            "subscribe to configuration updates",
            lambda closed: self._connected().subscribe_to_configuration_update_async(
                on_stream_event=lambda _: self._deliver(ConfigurationChanged()),
                on_stream_error=self._unreadable("configuration"),
                on_stream_closed=closed,
            ),
        )

    def watch_updates(self, number: int, recheck_after_s: Callable[[str], float]) -> None:
        client = self._connected()

        def announced(event: Any) -> None:
            if event.pre_update_event is None:  # the other one says that it is over
                return
            deployment_id = str(event.pre_update_event.deployment_id)
            try:
                with _translated("allow the update"):
                    answer = client.defer_component_update_async(
                        deployment_id=deployment_id,
                        recheck_after_ms=int(recheck_after_s(deployment_id) * 1000),
                    )
            except LinkError as error:
                log.warning("update not answered: deployment=%s code=%s", deployment_id, error.code)
                return
            answer.add_done_callback(lambda done: _log_unanswered(deployment_id, done))

        self._begin(
            number,
            "subscribe to component updates",
            lambda closed: client.subscribe_to_component_updates_async(
                on_stream_event=announced,
                on_stream_error=self._unreadable("component updates"),
                on_stream_closed=closed,
            ),
        )

    def configuration(self, *key_path: str) -> Mapping[str, object]:
        answer = self._answer(
            "get configuration",
            lambda: self._connected().get_configuration_async(key_path=list(key_path)),
        )
        return answer.value if isinstance(answer.value, dict) else {}  # a scalar comes as {leaf: value}

    def publish(self, topic: str, payload: bytes, qos: QoS) -> None:
        try:
            self._answer(
                f"publish to {topic}",
                lambda: self._connected().publish_to_iot_core_async(
                    topic_name=topic, qos=_QOS[qos], payload=payload
                ),
            )
        except NotSupported as error:
            raise PublishFailed(f"publish to {topic}: refused") from error

    def configuration_of(self, component: str) -> Mapping[str, object]:
        """Return another component's whole configuration; callable from any thread, unlike the others.

        Raises:
            LinkError: as of ``configuration``.
        """
        what = f"get the configuration of {component}"
        with _translated(what):
            future = self._connected().get_configuration_async(component_name=component, key_path=[])
            try:
                answer = future.result(ANSWER_S)
            except concurrent.futures.TimeoutError as error:
                raise LinkDown(f"{what}: no answer within {ANSWER_S:.0f} s") from error
        return answer.value if isinstance(answer.value, dict) else {}

    def close(self) -> None:
        with self._lock:
            self._connection += 1
            client, self._client = self._client, None
        self._unanswered = None
        if client is not None:
            _close(client)

    def _next_connection(self) -> int:
        self.close()
        return self._connection

    def _open(self, connection: int, number: int) -> None:
        try:
            client = greengrasscoreipc.connect(
                ipc_socket=self._socket,
                authtoken=self._token,
                lifecycle_handler=_Lifecycle(lambda reason: self._lost(connection, number, reason)),
                timeout=CONNECT_S,
            )
        # The SDK raises its own RuntimeErrors, the C runtime's errors and the future's TimeoutError here.
        except (RuntimeError, AwsCrtError, OSError, concurrent.futures.TimeoutError) as error:
            raise _connect_failure(error) from error
        made = GreengrassCoreIPCClientV2(client=client, executor=None)
        with self._lock:
            if connection == self._connection:
                self._client = made
                return
        _close(made)  # it took so long that it is given up
        raise LinkDown("cannot connect to the nucleus: given up")

    def _connected(self) -> GreengrassCoreIPCClientV2:
        client = self._client
        if client is None:
            raise LinkDown("not connected")
        return client

    def _begin(
        self,
        number: int,
        what: str,
        subscribe: Callable[[Callable[[], None]], tuple[Answer, object]],
    ) -> None:
        """Begin a subscription; its end is enqueued by whoever completes it, or never comes."""
        connection, called = self._connection, self._number
        with _translated(what):
            future, _ = subscribe(lambda: self._closed(connection, called, what, future))
        future.add_done_callback(lambda done: self._deliver(LinkAnswered(number, _failure(what, done))))

    def _answer(self, what: str, call: Callable[[], Answer]) -> Any:
        """Return the answer to a call; one that does not come costs the loop its wait only once."""
        now_s = self._clock.monotonic()
        if self._unanswered is not None and not self._unanswered.done() and now_s < self._unanswered_until_s:
            raise LinkDown(f"{what}: the nucleus has not answered the call before")
        with _translated(what):
            future = call()
            try:
                answer = future.result(self._patience_s)
            except concurrent.futures.TimeoutError as error:
                self._unanswered, self._unanswered_until_s = future, self._clock.monotonic() + UNANSWERED_S
                raise LinkDown(f"{what}: no answer within {self._patience_s:.0f} s") from error
            finally:
                self._patience_s = ANSWER_S
        return answer

    def _lost(self, connection: int, number: int, reason: str) -> None:
        if connection == self._connection:
            self._deliver(LinkLost(reason, number))

    def _closed(self, connection: int, number: int, what: str, future: Answer) -> None:
        # A subscription that was refused, or never answered, closes its stream too, and has its error.
        if future.done() and future.exception() is None:
            self._lost(connection, number, f"stream closed: {what}")

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
    """Let nothing of the SDK through."""
    try:
        yield
    except LinkError:
        raise
    except (RuntimeError, AwsCrtError, OSError) as error:
        raise _meaning(what, error) from error


def _meaning(what: str, error: BaseException) -> LinkError:
    """Return the port's error for an error of the SDK; the order matters, as its errors are RuntimeErrors."""
    match error:
        case model.UnauthorizedError():
            return Unauthorized(what)
        case model.ResourceNotFoundError():
            return Missing(what)
        case model.ServiceError():
            return NotSupported(what, said=error.message or "")
        case model.GreengrassCoreIPCError():
            return LinkError(f"{what}: {type(error).__name__}: {error.message or ''}")
        case _:
            return LinkDown(f"{what}: {_text(error)}")


def _failure(what: str, done: Answer) -> LinkError | None:
    error = done.exception()
    return None if error is None else _meaning(what, error)


def _connect_failure(error: Exception) -> LinkDown:
    """Tell a nucleus that is away from one that has restarted and does not know the token."""
    text = f"cannot connect to the nucleus: {_text(error)}"
    denied = isinstance(error, eventstreamrpc.AccessDeniedError)
    closed = isinstance(error, AwsCrtError) and error.name == "AWS_IO_SOCKET_CLOSED"
    return TokenRefused(text) if denied or closed else LinkDown(text)


def _log_unanswered(deployment_id: str, done: Answer) -> None:
    failure = _failure("allow the update", done)
    if failure is not None:
        log.warning("update not answered: deployment=%s code=%s", deployment_id, failure.code)


def _close(client: GreengrassCoreIPCClientV2) -> None:
    with contextlib.suppress(RuntimeError, AwsCrtError):
        client.close()


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
