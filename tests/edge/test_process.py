"""``python -m edge`` itself: a real process, the official SDK, a nucleus with a broker in memory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from contract import topics
from contract.commands import CommandResult, RebootCommand, TimeAnswer
from contract.events import ConnectionEvent
from contract.names import COMPONENT
from contract.reports import DeviceReport
from local.core.configuration import Configuration, Json
from local.core.dialect import CLASSIC, LITE, Dialect
from local.core.ipc import Components, MemoryBroker, Server
from tests.edge.fakes import THING, World

ANSWER_S = 20.0
REPOSITORY = Path(__file__).parents[2]
Message = TypeVar("Message", ConnectionEvent, DeviceReport, CommandResult)


class Device:
    """A folder with a boot id, a nucleus, and the agent's process."""

    def __init__(self, folder: Path, dialect: Dialect) -> None:
        self.folder = folder
        self.dialect = dialect
        self.power = folder / "power"
        self.new_boot()
        configuration: dict[str, Json] = {
            "heartbeat_s": "0.3",
            "boot_id_path": str(folder / "boot_id"),
            "reboot_command": f'["sh", "-c", "echo reboot >> {self.power}"]',
            "reboot_grace_s": "30",
            "accessControl": _ACCESS,
        }
        self.configuration = Configuration.of(dialect, {COMPONENT: configuration})
        self.components = Components([COMPONENT])
        self.broker = MemoryBroker()
        self.server = Server(
            folder / "ipc.socket", self.components, self.broker, self.configuration, dialect, thing=THING
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
                    "AWS_IOT_THING_NAME": THING,
                    "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self.server.socket_path),
                    "SVCUID": self.components.issue_token(COMPONENT),
                    "DOCKER_HOST": f"unix://{self.folder}/no-engine.sock",
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

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def wait_for(self, topic: str, kind: type[Message], wanted: Callable[[Message], bool]) -> Message:
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            for message in list(self.broker.published):
                if message.topic == topic:
                    found = kind.from_json(message.payload)
                    if wanted(found):
                        return found
            time.sleep(0.02)
        raise AssertionError(f"nothing like it on {topic}\n{self.log()}")

    def hello(self, after: int = -1) -> ConnectionEvent:
        """Wait for a hello and answer it with the time, as the cloud's rule does."""
        hello = self.wait_for(
            topics.connection(THING), ConnectionEvent, lambda e: e.event == "hello" and e.sequence > after
        )
        assert hello.nonce is not None
        answer = TimeAnswer(nonce=hello.nonce, server_time_ms=time.time_ns() // 1_000_000)
        self.broker.send(topics.command_request(THING, "time"), answer.to_json())
        return hello

    def result(self, command: RebootCommand, state: str) -> CommandResult:
        return self.wait_for(
            topics.command_result(THING, "reboot"),
            CommandResult,
            lambda r: (r.id, r.state) == (command.id, state),
        )


_ACCESS: Json = {
    "aws.greengrass.ipc.mqttproxy": {
        "1": {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["*"]},
        "2": {"operations": ["aws.greengrass#SubscribeToIoTCore"], "resources": ["*"]},
    }
}


@pytest.fixture(params=[CLASSIC, LITE], ids=lambda dialect: dialect.name)
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path, request.param)
    with made.server:
        yield made
        made.kill()


def a_command() -> RebootCommand:
    world = World()
    world.clock.date = world.clock.date.fromtimestamp(time.time(), world.clock.date.tzinfo)
    return world.a_command()


def test_a_device_comes_online_reboots_with_proof_and_leaves_in_order(device: Device) -> None:
    device.start()
    hello = device.hello()
    device.wait_for(
        topics.report(THING), DeviceReport, lambda r: r.engine == "unavailable" and r.host is not None
    )
    command = a_command()
    device.broker.send(topics.command_request(THING, "reboot"), command.to_json())
    device.result(command, "IN_PROGRESS")
    deadline = time.monotonic() + ANSWER_S
    while not device.power.exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    device.kill()  # the power goes
    device.new_boot()
    device.start()
    after = device.hello(after=hello.sequence)
    proof = device.result(command, "SUCCEEDED")
    device.broker.send(topics.command_request(THING, "reboot"), command.to_json())
    device.wait_for(topics.report(THING), DeviceReport, lambda r: r.sequence > after.sequence + 2)

    assert (proof.boot_id_before, proof.boot_id) == (hello.boot_id, after.boot_id)
    assert device.power.read_text() == "reboot\n"
    began = time.monotonic()
    assert device.end() == 0
    assert time.monotonic() - began < 5.0
    device.wait_for(topics.connection(THING), ConnectionEvent, lambda e: e.event == "goodbye")


def test_a_nucleus_that_takes_the_token_no_longer_is_met_with_patience_and_sigterm_still_ends_it(
    device: Device,
) -> None:
    process = device.start()
    device.hello()

    device.server.restart()

    deadline = time.monotonic() + ANSWER_S
    while "cannot connect to the nucleus: try=1" not in device.log() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None
    assert device.end() == 0


@pytest.mark.parametrize(
    ("merge", "key"),
    [({"heartbeat_s": "often"}, "heartbeat_s: "), ({"boot_id_path": "/nonexistent"}, "boot_id_path: ")],
)
def test_a_bad_configuration_is_refused_at_start_in_one_line_that_names_the_key(
    device: Device, merge: dict[str, str], key: str
) -> None:
    device.configuration.merge(COMPONENT, (), {**merge}, at_ms=time.time_ns() // 1_000_000)

    assert device.start().wait(ANSWER_S) == 2

    (line,) = device.log().splitlines()
    assert f"configuration is not usable: {key}" in line


def test_a_missing_environment_variable_is_named(device: Device) -> None:
    assert device.start(SVCUID="").wait(ANSWER_S) == 2

    (line,) = device.log().splitlines()
    assert "SVCUID" in line
