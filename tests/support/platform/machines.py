"""A device of the platform as these tests use it: its machine, its cable, and what the API says of it."""

import json
import os
import secrets
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from contract import topics
from contract.commands import AnyCommand, RebootCommand, name_of
from contract.names import COMPONENT, identifier
from local.demo.api_client import Api
from local.greengrass.devices import Device
from local.greengrass.nucleus.configuration.store import Configuration, Json
from local.greengrass.nucleus.dialect import DIALECTS
from local.platform import Dialect, Platform
from tests.support.platform.cable import Cable
from tests.support.platform.lab import Lab, until

KEEP_ALIVE_S = 4
FINAL = ("SUCCEEDED", "FAILED", "REJECTED", "EXPIRED", "SUPERSEDED")

#: The clock belongs to the kernel, which all devices here share: so it is the agent's Python that is told.
_WRONG_CLOCK = """
import datetime, pathlib, time

right, right_time = datetime.datetime, time.time


def ahead_s():
    return float(pathlib.Path("CLOCK").read_text())


class Kind(type):
    def __instancecheck__(cls, value):
        return isinstance(value, right)


class Wrong(right, metaclass=Kind):
    @classmethod
    def now(cls, tz=None):
        return right.now(tz) + datetime.timedelta(seconds=ahead_s())

    @classmethod
    def utcnow(cls):
        return cls.now(datetime.UTC).replace(tzinfo=None)


datetime.datetime = Wrong
time.time = lambda: right_time() + ahead_s()
"""


@dataclass
class Machine:
    """One device with a nucleus of ``dialect``. Every test leaves it online."""

    platform: Platform
    lab: Lab
    device: Device
    cable: Cable
    dialect: Dialect
    group: str
    restarted_agent: int | None = None  # the process that lost its nucleus at the beginning of the session
    operator: Api = field(init=False)
    _broker: Any = field(init=False)

    def __post_init__(self) -> None:
        self.operator = self.api("Fleet.Operator")
        self._broker = self.lab.client("iot-data")

    @property
    def thing(self) -> str:
        return self.device.thing

    @property
    def path(self) -> str:
        return f"/devices/{self.thing}"

    def api(self, role: str) -> Api:
        """The API as a caller with ``role`` has it."""
        return Api(self.platform.api_url, self.platform.token(role))

    def shown(self) -> dict[str, Any]:
        """What ``GET /devices/{device}`` answers."""
        return self.operator.get(self.path)[1]

    def becomes(self, state: str, within_s: float = 60) -> dict[str, Any]:
        """Return what is shown of it once it is in that state."""
        assert until(lambda: self.shown().get("state") == state, within_s), self.shown()
        return self.shown()

    def reboot(self, **request: object) -> tuple[int, dict[str, Any]]:
        """Ask for a reboot as an operator."""
        return self.operator.post(f"{self.path}/reboot", {"reason": "a test", **request})

    def order(self, path: str, **request: object) -> str:
        """Give the device a command as an operator, ``path`` as below its own; return the command's id."""
        status, command = self.operator.post(f"{self.path}/{path}", {"reason": "a test", **request})
        assert status == 202, command
        return str(command["id"])

    def command(self, command_id: str) -> dict[str, Any]:
        """What the ledger shows of a command."""
        return self.operator.get(f"{self.path}/commands/{command_id}")[1]

    def ends(self, command_id: str, within_s: float = 60) -> dict[str, Any]:
        """Return the ledger's entry once the command has a final state."""
        assert until(lambda: self.command(command_id).get("state") in FINAL, within_s), self.command(
            command_id
        )
        return self.command(command_id)

    def steps(self, command_id: str) -> list[str]:
        """The states a command went through, as the ledger tells it; the last may come before another."""
        return [step["state"] for step in self.command(command_id)["transitions"]]

    def deliver(self, command: AnyCommand) -> None:
        """Publish a command to the device, past the API, as a broker that delivers once more would."""
        self.publish(topics.command_request(self.thing, name_of(command)), command.to_json())

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish as the cloud does."""
        self._broker.publish(topic=topic, qos=1, payload=payload)

    @contextmanager
    def overheard(self) -> Iterator["Overheard"]:
        """Listen to everything that the device says while the block runs."""
        with self.lab.connected(self.lab.device()) as connection:
            self.lab.subscribe(connection, f"cmd/fleetgrass/{self.thing}/+/res")
            self.lab.subscribe(connection, f"dt/fleetgrass/{self.thing}/+")
            yield Overheard(connection.heard)

    def boots(self) -> int:
        """How often the machine was powered on."""
        return self.logged("greengrass", "power on:")

    def handed_on(self, command: topics.Command) -> int:
        """How many messages of that command the nucleus handed to whoever is subscribed."""
        topic = topics.command_request(self.thing, command)
        return self.logged("greengrass", f"mqtt message handed on: topic={topic} ")

    def logged(self, log: str, text: str) -> int:
        """How many lines of the core's (``greengrass``) or of a component's log have ``text``."""
        path = self.device.folder / "logs" / f"{log}.log"
        return path.read_text(errors="replace").count(text) if path.exists() else 0

    def last_words(self, lines: int = 40) -> str:
        """What the core and the agent logged last, for a test that failed."""
        logs = {log: self.device.folder / "logs" / f"{log}.log" for log in ("greengrass", COMPONENT)}
        return "\n".join(
            f"--- {log}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
            for log, path in logs.items()
            if path.exists()
        )

    def agent_pid(self) -> int | None:
        """The agent's process, also its group's id; None while there is none."""
        record = self.device.folder / "run" / f"{COMPONENT}.json"
        try:
            return int(json.loads(record.read_text())["pid"])
        except (OSError, ValueError):
            return None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep the agent from doing anything while the block runs; what arrives waits for it."""
        pid = self.agent_pid()
        assert pid is not None
        os.killpg(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(pid, signal.SIGCONT)

    def configure(self, **values: Json) -> None:
        """Switch it off, change the component's configuration on its disk, and switch it on."""
        with self.switched_off():
            stored = Configuration(DIALECTS[self.dialect], self.device.folder / "configuration.json")
            stored.merge(COMPONENT, (), values, at_ms=int(time.time() * 1000))

    def set_clock(self, ahead_s: float) -> None:
        """Make its clock go wrong, at once and at every boot from now on; 0 sets it right."""
        clock = self.device.folder / "clock"
        clock.write_text(str(ahead_s))
        [packages] = self.device.folder.glob("fleetgrass/*/current/venv/lib/python3*/site-packages")
        wrong = packages / "sitecustomize.py"
        if not wrong.exists():
            with self.switched_off():
                wrong.write_text(_WRONG_CLOCK.replace("CLOCK", str(clock)))

    @contextmanager
    def switched_off(self) -> Iterator[None]:
        """Shut the machine down in order, and power it on again; ends once its agent hears the cloud.

        What is published to a device before that is lost: no nucleus keeps a session over a boot.
        """
        heard = self.logged(COMPONENT, "server time answered")
        self.device.turn_off()
        try:
            yield
        finally:
            self.device.turn_on()
            assert until(lambda: self.logged(COMPONENT, "server time answered") > heard, 60)

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Cut its network cable, and mend it."""
        self.cable.cut()
        try:
            yield
        finally:
            self.cable.mend()


@dataclass
class Overheard:
    """What a device said, in the order in which the broker passed it on."""

    messages: list[tuple[str, bytes]]

    def results(self, *command_ids: str) -> list[Mapping[str, Any]]:
        """The results of these commands."""
        said = [json.loads(payload) for topic, payload in self.messages if topic.endswith("/res")]
        return [result for result in said if result["id"] in command_ids]

    def hellos(self) -> list[Mapping[str, Any]]:
        """How the device said that its agent has started."""
        said = [json.loads(payload) for topic, payload in self.messages if topic.endswith("/connection")]
        return [event for event in said if event["event"] == "hello"]

    def reports(self) -> list[Mapping[str, Any]]:
        """The reports, each part of its own."""
        return [json.loads(payload) for topic, payload in self.messages if topic.endswith("/report")]


def new_id() -> str:
    """A command's id, as the cloud makes them."""
    return identifier("cmd", unix_ms=int(datetime.now(UTC).timestamp() * 1000), random80=secrets.randbits(80))


def message_of(shown: Mapping[str, Any]) -> RebootCommand:
    """The message that a reboot in the ledger was sent as."""
    names = ("id", "issued_at", "expires_at", "requested_by", "reason", "force")
    return RebootCommand.model_validate({name: shown[name] for name in names})


def add_machine(
    platform: Platform, lab: Lab, dialect: Dialect, *, name: str | None = None, group: str | None = None
) -> Machine:
    """Add a device to the platform, with a cable of its own and no end of reboots an hour.

    Without ``group`` it shares one with those of its kind of nucleus.
    """
    cable = Cable(platform.mqtt_port)
    group = group or f"line-7-{DIALECTS[dialect].kind}"
    device = platform.add_device(
        name or f"robot-{dialect}",
        group,
        agent={"reboot_budget": 100, "heartbeat_s": 3},
        dialect=dialect,
        keep_alive_s=KEEP_ALIVE_S,
        mqtt_port=cable.port,
        off_s=1,
    )
    return Machine(platform, lab, device, cable, dialect, group)
