"""IPC operations, apart from sockets and frames.

An operation takes a ``Call`` and returns the response's fields, or raises ``OperationRefused``. Texts are
those that the recorded Lite answers; an SDK sees the same error types from either dialect.
"""

import base64
import uuid
from collections.abc import Callable

from local.greengrass.nucleus.configuration.store import (
    Configuration,
    KeyNotFound,
    OlderThanStored,
    UpdateRefused,
)
from local.greengrass.nucleus.dialect import Dialect
from local.greengrass.nucleus.ipc import access
from local.greengrass.nucleus.ipc.broker import Broker, BrokerUnavailable
from local.greengrass.nucleus.ipc.call import Call, Fields, blob, key_path_of, qos_of, text
from local.greengrass.nucleus.ipc.components import Components
from local.greengrass.nucleus.ipc.consulting import Consulting
from local.greengrass.nucleus.ipc.errors import (
    FailedUpdateConditionCheckError,
    InvalidArgumentsError,
    InvalidTokenError,
    ResourceNotFoundError,
    ServiceError,
    UnauthorizedError,
)
from local.greengrass.nucleus.ipc.local_topics import LocalTopics
from local.greengrass.nucleus.ipc.payloads import fate, sorted_keys

_NUCLEUS = "aws.greengrass.Nucleus"
_NUCLEUS_NAMES = frozenset({_NUCLEUS, "aws.greengrass.NucleusLite"})
_VERIFIERS = frozenset({"aws.greengrass.StreamManager"})
_STATES = frozenset({"RUNNING", "ERRORED"})
_CLASSIC_PAYLOAD_BYTES = 131_072  # the nucleus' default ``mqtt.maxMessageSizeInBytes``
_CLASSIC_SLASHES = 7
_TOO_MANY_SLASHES = f"The request topic must have no more than {_CLASSIC_SLASHES} forward slashes (/)"
_MQTT_HEADER_BYTES = 20  # fixed header, topic length, packet id and properties, generously


class Operations:
    """All operations of one nucleus; safe from any thread, since all it holds is."""

    def __init__(
        self,
        components: Components,
        broker: Broker,
        configuration: Configuration,
        dialect: Dialect,
        thing: str,
    ) -> None:
        self._components = components
        self._broker = broker
        self._configuration = configuration
        self._dialect = dialect
        self._thing = thing
        self._topics = LocalTopics()
        self._by_name: dict[str, Callable[[Call], Fields]] = {
            "PublishToIoTCore": self._publish_to_iot_core,
            "SubscribeToIoTCore": self._subscribe_to_iot_core,
            "PublishToTopic": self._publish_to_topic,
            "SubscribeToTopic": self._subscribe_to_topic,
            "GetConfiguration": self._get_configuration,
            "UpdateConfiguration": self._update_configuration,
            "SubscribeToConfigurationUpdate": self._subscribe_to_configuration_update,
            "UpdateState": self._update_state,
            "RestartComponent": self._restart_component,
            "CreateLocalDeployment": self._create_local_deployment,
            "ValidateAuthorizationToken": self._validate_authorization_token,
        }
        if dialect.consults_components:
            self._by_name |= Consulting(components.consultation).by_name

    def perform(self, name: str, call: Call) -> Fields:
        """Return the response's fields.

        Raises:
            OperationRefused: a ServiceError with an empty text for an operation that does not exist.
        """
        operation = self._by_name.get(name)
        if operation is None:
            raise ServiceError("")
        return operation(call)

    def _publish_to_iot_core(self, call: Call) -> Fields:
        topic, qos = text(call, "topicName"), qos_of(call)
        payload = blob(call.fields.get("payload", ""))
        self._require(call, access.MQTT, "PublishToIoTCore", topic)
        self._require_size(topic, payload)
        try:
            self._broker.publish(topic, payload, qos)
        except BrokerUnavailable as error:
            raise ServiceError(self._not_published(topic, str(error))) from error
        return {}

    def _require_size(self, topic: str, payload: bytes) -> None:
        """Refuse what classic's client refuses before it looks at the connection."""
        if self._dialect.kind != "classic":
            return
        if len(payload) > _CLASSIC_PAYLOAD_BYTES:
            limit = f"the configured limit of {_CLASSIC_PAYLOAD_BYTES} bytes"
            cause = f"The publishing message size {len(payload)} bytes exceeds {limit}"
            raise ServiceError(self._not_published(topic, cause))
        if topic.count("/") > _CLASSIC_SLASHES:
            raise ServiceError(self._not_published(topic, _TOO_MANY_SLASHES))

    def _not_published(self, topic: str, cause: str) -> str:
        if self._dialect.kind == "lite":
            return "Failed to publish the message."
        return f"Publish to topic {topic} failed: {cause}"

    def _subscribe_to_iot_core(self, call: Call) -> Fields:
        topic_filter, qos = text(call, "topicName"), qos_of(call)
        self._require(call, access.MQTT, "SubscribeToIoTCore", topic_filter)
        if self._dialect.kind == "classic" and topic_filter.count("/") > _CLASSIC_SLASHES:
            raise ServiceError(f"Subscribe to topic {topic_filter} failed with error {_TOO_MANY_SLASHES}")

        def deliver(topic: str, payload: bytes) -> None:
            if len(topic.encode()) + len(payload) + _MQTT_HEADER_BYTES <= self._dialect.inbound_mqtt_bytes:
                message = {"topicName": topic, "payload": base64.b64encode(payload).decode()}
                call.stream.event("IoTCoreMessage", {"message": message})

        answer = call.stream.answer_later()
        try:
            call.stream.on_close(self._broker.subscribe(topic_filter, qos, deliver, answer))
        except BrokerUnavailable as error:
            raise ServiceError("Failed to bind the subscription.") from error
        return {}

    def _publish_to_topic(self, call: Call) -> Fields:
        topic = text(call, "topic")
        given = call.fields.get("publishMessage")
        given = given if isinstance(given, dict) else {}
        kinds = [kind for kind in ("jsonMessage", "binaryMessage") if kind in given]
        if len(kinds) != 1 or not isinstance(given[kinds[0]], dict):
            raise ServiceError("Received invalid parameters.")
        (kind,) = kinds
        message = given[kind].get("message")
        outcome = fate(message, self._dialect.json_budget) if kind == "jsonMessage" else "delivered"
        if outcome == "unreadable":
            raise ServiceError("")
        self._require(call, access.PUBSUB, "PublishToTopic", topic)
        if outcome == "refused":
            raise ServiceError("Failed to publish the message.")
        if outcome == "ends-subscriptions":
            self._topics.end(topic)
        elif outcome == "delivered":
            shown = sorted_keys(message) if self._dialect.kind == "lite" else message
            event: dict[str, object] = {kind: {"message": shown, "context": {"topic": topic}}}
            self._topics.publish(topic, call.component, event)
        return {}

    def _subscribe_to_topic(self, call: Call) -> Fields:
        topic = text(call, "topic")
        self._require(call, access.PUBSUB, "SubscribeToTopic", topic)
        call.stream.on_close(
            self._topics.subscribe(
                topic,
                call.component,
                lambda event: call.stream.event("SubscriptionResponseMessage", event),
                receives_own=self._receives_own(topic, call.fields.get("receiveMode")),
            )
        )
        return {}

    def _receives_own(self, topic: str, mode: object) -> bool:
        if self._dialect.kind == "lite":
            return True
        if mode is not None:
            return mode != "RECEIVE_MESSAGES_FROM_OTHERS"
        return "#" not in topic and "+" not in topic

    def _get_configuration(self, call: Call) -> Fields:
        component, key_path = self._configured(call)
        try:
            value = self._configuration.get(component[0], key_path)
        except KeyNotFound as error:
            words = "Key not found" if self._dialect.kind == "classic" else "Key not found."
            raise ResourceNotFoundError(words) from error
        if not isinstance(value, dict):
            value = {key_path[-1]: value}
        return {"componentName": component[1], "value": value}

    def _update_configuration(self, call: Call) -> Fields:
        key_path, value = key_path_of(call), call.fields.get("valueToMerge")
        timestamp = call.fields.get("timestamp")
        if value is None or not isinstance(timestamp, int | float):
            raise InvalidArgumentsError("Received invalid parameters.")
        first = key_path[:1] or list(value if isinstance(value, dict) else ())
        if "accessControl" in first:
            raise InvalidArgumentsError("Config update is not allowed for following field [accessControl]")
        try:
            self._configuration.update(call.component, key_path, value, at_ms=int(timestamp * 1000))
        except UpdateRefused as error:
            raise ServiceError("Failed to update the configuration.") from error
        except OlderThanStored as error:
            raise FailedUpdateConditionCheckError(str(error)) from error
        return {}

    def _subscribe_to_configuration_update(self, call: Call) -> Fields:
        (stored, shown), key_path = self._configured(call)

        def changed(_component: str, path: tuple[str, ...]) -> None:
            event = {"configurationUpdateEvent": {"componentName": shown, "keyPath": list(path)}}
            call.stream.event("ConfigurationUpdateEvents", event)

        try:
            call.stream.on_close(self._configuration.watch(stored, key_path, changed))
        except KeyNotFound as error:
            raise ResourceNotFoundError("Key not found") from error
        return {}

    def _update_state(self, call: Call) -> Fields:
        state = call.fields.get("state")
        if state not in _STATES:
            raise ServiceError("Failed to update the lifecycle state.")
        self._components.set_state(call.component, state)
        return {}

    def _restart_component(self, call: Call) -> Fields:
        name = text(call, "componentName")
        if not self._allows(call, access.CLI, "RestartComponent", name):
            raise UnauthorizedError("Component not authorized to restart component.")
        if name not in self._components:
            raise ResourceNotFoundError("Component not found.")
        self._components.restart(name)
        return {"restartStatus": "SUCCEEDED"}

    def _create_local_deployment(self, call: Call) -> Fields:
        if not self._allows(call, access.CLI, "CreateLocalDeployment", "*"):
            raise ServiceError("IPC Operation not authorized.")
        updates = call.fields.get("componentToConfiguration", {})
        if not isinstance(updates, dict) or not all(isinstance(update, dict) for update in updates.values()):
            raise ServiceError("Invalid componentToConfiguration value.")
        deployment_id = str(uuid.uuid4())
        self._components.deploy(deployment_id, dict(call.fields))
        return {"deploymentId": deployment_id}

    def _validate_authorization_token(self, call: Call) -> Fields:
        if call.component not in _VERIFIERS:
            raise UnauthorizedError("Component does not have access to token verification IPC command.")
        if self._components.owner(text(call, "token")) is None:
            raise InvalidTokenError("Invalid token")
        return {"isValid": True}

    def _configured(self, call: Call) -> tuple[tuple[str, str], list[str]]:
        """Return the component as stored and as the caller named it, and the key path."""
        shown = call.fields.get("componentName") or call.component
        if not isinstance(shown, str):
            raise InvalidArgumentsError("Received invalid parameters.")
        return (_NUCLEUS if shown in _NUCLEUS_NAMES else shown, shown), key_path_of(call)

    def _require(self, call: Call, service: str, operation: str, resource: str) -> None:
        if not self._allows(call, service, operation, resource):
            classic = self._dialect.kind == "classic" and service == access.MQTT
            raise UnauthorizedError("Not Authorized" if classic else "IPC Operation not authorized.")

    def _allows(self, call: Call, service: str, operation: str, resource: str) -> bool:
        try:
            policies = self._configuration.get(call.component, ("accessControl",))
        except KeyNotFound:
            return False
        return access.allows(policies, service, operation, resource, dialect=self._dialect, thing=self._thing)
