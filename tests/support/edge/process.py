"""The agent as a real process, with a nucleus and a broker in this one. What survives its death is here."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from contract import topics
from contract.commands import Command, CommandResult, TimeAnswer, name_of
from contract.events import ConnectionEvent
from contract.names import COMPONENT
from contract.reports import DeviceReport
from local.greengrass.nucleus.configuration.store import Configuration, Json
from local.greengrass.nucleus.dialect import Dialect
from local.greengrass.nucleus.ipc import Components, MemoryBroker, Server
from tests.support.edge.fakes import THING

ANSWER_S = 30.0
REPOSITORY = Path(__file__).parents[3]
Message = TypeVar("Message", ConnectionEvent, DeviceReport, CommandResult)


class DeviceProcess:
    """A folder with a boot id, a nucleus, and the agent's process."""

    def __init__(
        self,
        folder: Path,
        dialect: Dialect,
        *,
        thing: str = THING,
        broker: MemoryBroker | None = None,
        settings: Mapping[str, Json] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.thing = thing
        self.environment = {"DOCKER_HOST": f"unix://{folder}/no-engine.sock", **(environment or {})}
        self.power = folder / "power"
        self.new_boot()
        configuration: dict[str, Json] = {
            "heartbeat_s": "0.3",
            "boot_id_path": str(folder / "boot_id"),
            "reboot_command": f'["sh", "-c", "echo reboot >> {self.power}"]',
            "reboot_grace_s": "30",
            "accessControl": _ACCESS,
            **(settings or {}),
        }
        self.configuration = Configuration.of(dialect, {COMPONENT: configuration})
        self.components = Components([COMPONENT])
        self.broker = broker or MemoryBroker()
        self.server = Server(
            folder / "ipc.socket", self.components, self.broker, self.configuration, dialect, thing=thing
        )
        self.process: subprocess.Popen[bytes] | None = None

    def new_boot(self) -> None:
        (self.folder / "boot_id").write_text(f"boot-{time.monotonic_ns()}\n")

    def start(self, **environment: str) -> "subprocess.Popen[bytes]":
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge"],
                cwd=work,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(REPOSITORY),
                    "AWS_IOT_THING_NAME": self.thing,
                    "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self.server.socket_path),
                    "SVCUID": self.components.issue_token(COMPONENT),
                    **self.environment,
                    **environment,
                },
            )
        return self.process

    def end(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(ANSWER_S)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(ANSWER_S)

    def configure(self, **values: Json) -> None:
        """Merge into the component's configuration, as a deployment does."""
        self.configuration.merge(COMPONENT, (), values, at_ms=time.time_ns() // 1_000_000)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def wait_for(self, topic: str, kind: type[Message], wanted: Callable[[Message], bool]) -> Message:
        deadline = time.monotonic() + ANSWER_S
        looked_at = 0
        while time.monotonic() < deadline:
            for message in self.broker.published[looked_at:]:
                looked_at += 1
                if message.topic == topic:
                    found = kind.from_json(message.payload)
                    if wanted(found):
                        return found
            time.sleep(0.02)
        raise AssertionError(f"nothing like it on {topic}\n{self.log()}")

    def hello(self, after: int = -1) -> ConnectionEvent:
        """Wait for a hello and answer it with the time, as the cloud's rule does."""
        hello = self.wait_for(
            topics.connection(self.thing),
            ConnectionEvent,
            lambda e: e.event == "hello" and e.sequence > after,
        )
        assert hello.nonce is not None
        answer = TimeAnswer(nonce=hello.nonce, server_time_ms=time.time_ns() // 1_000_000)
        self.broker.send(topics.command_request(self.thing, "time"), answer.to_json())
        return hello

    def send(self, command: Command) -> None:
        """Publish a command to the device, as the cloud does."""
        self.broker.send(topics.command_request(self.thing, name_of(command)), command.to_json())

    def result(self, command: Command, state: str) -> CommandResult:
        return self.wait_for(
            topics.command_result(self.thing, name_of(command)),
            CommandResult,
            lambda r: (r.id, r.state) == (command.id, state),
        )


_ACCESS: Json = {
    "aws.greengrass.ipc.mqttproxy": {
        "1": {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["*"]},
        "2": {"operations": ["aws.greengrass#SubscribeToIoTCore"], "resources": ["*"]},
    }
}
