"""Devices that are nothing but their conversation: enrolled for production, over MQTT, rebooting as told."""

import ssl
import threading
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from contract import topics
from contract.commands import CommandResult, CommandState, RebootCommand
from contract.events import ConnectionEvent
from contract.reports import ApplicationState, ApplicationStatus, DeviceReport
from local.platform import Platform


class Robot:
    """A device that says hello and answers a reboot with ``fate``, at once or when ``finish`` is called."""

    def __init__(self, platform: Platform, thing: str, group: str, heard: list[tuple[str, str]]) -> None:
        """Enrol it. ``heard`` is told, as (thing, what), of its commands and of its answers, in order."""
        platform.enroll(thing, group)
        self.thing = thing
        self.fate = CommandState.SUCCEEDED
        self.hold = False
        self.commands: list[RebootCommand] = []
        self._heard = heard
        identity = platform.folder / "identities" / thing
        tls = ssl.create_default_context(cafile=str(platform.ca_path))
        tls.load_cert_chain(identity / "device.pem.crt", identity / "private.pem.key")
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=thing)
        self._client.tls_set_context(tls)
        self._listening = threading.Event()
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.on_message = self._on_message
        self._client.connect(platform.mqtt_host, platform.mqtt_port, keepalive=30)
        self._client.loop_start()
        assert self._listening.wait(15), f"{thing} hears no commands"
        self._say_hello()

    def finish(self, command: RebootCommand) -> None:
        """Say what became of a reboot."""
        self._heard.append((self.thing, self.fate.value))
        code = None if self.fate is CommandState.SUCCEEDED else "reboot-not-performed"
        self._answer(command, self.fate, code=code, boot_id_before="before", boot_id="after")

    def report(self, *applications: str) -> None:
        """Report them as running."""
        running = [ApplicationStatus(name=name, state=ApplicationState.RUNNING) for name in applications]
        said: dict[str, Any] = {
            "at": datetime.now(UTC), "epoch": f"epoch-{self.thing}", "sequence": 2, "boot_id": "before",
            "agent_version": "1.0.0", "interval_s": 300.0, "application_names": [*applications],
        }  # fmt: skip
        self._publish(topics.report(self.thing), DeviceReport(applications=running, **said))

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, *_: Any) -> None:
        self._client.subscribe(topics.command_request(self.thing, "reboot"), qos=1)

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        command = RebootCommand.from_json(bytes(message.payload))
        if command.id in [known.id for known in self.commands]:
            return
        self.commands.append(command)
        self._heard.append((self.thing, "commanded"))
        self._answer(command, CommandState.IN_PROGRESS)
        if not self.hold:
            self.finish(command)

    def _answer(self, command: RebootCommand, state: CommandState, **more: Any) -> None:
        result = CommandResult(id=command.id, state=state, at=datetime.now(UTC), **more)
        self._publish(topics.command_result(self.thing, "reboot"), result)

    def _say_hello(self) -> None:
        hello: dict[str, Any] = {
            "event": "hello", "at": datetime.now(UTC), "epoch": f"epoch-{self.thing}", "sequence": 1,
            "boot_id": "before", "agent_version": "1.0.0", "interval_s": 300.0,
        }  # fmt: skip
        self._publish(topics.connection(self.thing), ConnectionEvent.model_validate(hello))

    def _publish(self, topic: str, message: CommandResult | ConnectionEvent | DeviceReport) -> None:
        self._client.publish(topic, message.to_json(), qos=1)
