"""A device that updates keeps everything: this agent on the folders that agents of before left.

``states/`` has them, and how they are made: a trial, a rollback, a rotation, a reboot that was begun and one
that waits for its time, results and a report that did not go out. The machine has booted meanwhile.
"""

import base64
import itertools
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.applications import Secret
from contract.commands import CommandResult, CommandState, RotateSecretsCommand
from contract.reports import ApplicationState
from edge.agent import Agent
from edge.configuration.kept_settings import KeptSettings
from edge.configuration.settings import parse_settings
from edge.containers.container_ports import ContainerPorts, ContainerSettings
from edge.containers.model.observed import Supervision, pairs
from edge.containers.reconciler import Reconciler
from edge.containers.store.pulled_images import PulledImages
from edge.link.endings import ENDS_MAX, Endings
from edge.ports.engine import ContainerRun, ContainerSpec, PortBinding
from edge.startup.earlier_state import LOST
from edge.startup.own_folder import OwnFolder, take
from edge.storage.state import StateFolder
from tests.support.edge import fakes
from tests.support.edge.containers import FakeCredentials, Inline, image
from tests.support.edge.fake_engine import FakeContainer, FakeEngine, FakeImage

STATES = Path(__file__).parent / "states"
PUBLISHED = "e293047"  # agent 0.1.0
BEFORE_ROOMS = "43b8dbf"  # the last commit before the code's folders were cut anew
ROTATION, REPORT_NOW, REBOOT, LATER_REBOOT = (f"cmd-01hf7yat{number:018d}" for number in range(4))
WEB = "fleetgrass-e1fe0754-web"
CHANGES = {"create", "start", "stop", "rename", "remove", "pull", "remove image", "remove volume"}


class UpdatedDevice(fakes.AgentHarness):
    """A device after the boot: what it had before, and this agent in the current folder."""

    def __init__(self, before: Path, own_folder: OwnFolder) -> None:
        super().__init__(**json.loads((before / "configuration.json").read_text()))
        self.before, self.own_folder = before, own_folder
        self.engine = _engine(json.loads((before / "engine.json").read_text()))
        self.documents[self.link.values["desired"]["document_uri"]] = (before / "document.json").read_bytes()
        outbox = next(before.glob("*/outbox.json")).read_bytes()
        self.waiting = [
            CommandResult.from_json(base64.b64decode(each["payloads"][0]))
            for each in json.loads(outbox)["messages"]
            if each["key"] != "report"
        ]
        self.verdict = None  # of a document that is looked into: nothing is certain
        self._tokens = (f"new-token-{number}" for number in itertools.count())
        self.clock.advance(600.0)
        self.machine.boot = 2

    def start(self, *, connected: bool = True) -> Agent:
        self.state = self.own_folder.state()  # type: ignore[assignment]
        ports = ContainerPorts(
            engine=self.engine,
            credentials=FakeCredentials(),
            clock=self.clock,
            state=StateFolder(Path.cwd()),
            workers=Inline,
            jitter=lambda: 0.0,
        )
        settings = ContainerSettings(
            thing=fakes.THING,
            folder=Path.cwd(),
            publish_address="0.0.0.0",
            earlier_folder=self.own_folder.earlier,
        )
        self.containers = Reconciler(ports, settings)  # type: ignore[assignment]
        return super().start(connected=connected)

    def update(self) -> None:
        """Let the new agent have its first seconds."""
        self.start()
        self.turns(10.0)

    def changes(self) -> list[str]:
        """Return what was done to the engine, and not only looked at."""
        return [call for call in self.engine.calls if call in CHANGES]

    def told(self, command: str) -> list[CommandResult]:
        """Return what the cloud heard of a command."""
        return [each for each in self.results() if each.id == command]


def _engine(there: dict[str, Any]) -> FakeEngine:
    engine = FakeEngine()
    engine.images = {reference: FakeImage() for reference in there["images"]}
    engine.named_volumes = there["volumes"]
    for each in there["containers"]:
        ports = tuple(PortBinding(**port) for port in each["ports"])
        engine.all[each["id"]] = FakeContainer(
            each["id"],
            ContainerSpec(name=each["name"], image=each["image"], labels=each["labels"], ports=ports),
            each["name"],
            state=each["state"],
            ports=ports,
            container_run=ContainerRun(exit_code=each["exit_code"]),
        )
    engine.named(WEB).health = "starting"  # its image's check begins anew at a boot
    return engine


@pytest.fixture(params=[PUBLISHED, BEFORE_ROOMS])
def before(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What the device had."""
    return Path(shutil.copytree(STATES / request.param, tmp_path / "before"))


@pytest.fixture
def device(before: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UpdatedDevice]:
    """The device, with no agent yet."""
    (before / "state").mkdir(exist_ok=True)
    monkeypatch.chdir(before / "state")
    own_folder = take({"FLEETGRASS_EARLIER": str(before / "work")})
    yield UpdatedDevice(before, own_folder)
    assert own_folder.lock is not None
    own_folder.lock.close()


of_published = pytest.mark.parametrize("before", [PUBLISHED], indirect=True)
of_before_rooms = pytest.mark.parametrize("before", [BEFORE_ROOMS], indirect=True)


def test_nothing_is_set_aside_and_no_container_is_touched(
    device: UpdatedDevice, caplog: pytest.LogCaptureFixture
) -> None:
    there = {each.id: each.name for each in device.engine.all.values()}

    device.update()

    assert not list(device.before.rglob("*.unreadable"))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert device.changes() == []
    assert there == {each.id: each.name for each in device.engine.all.values()}
    [*_, report] = device.reports()
    assert {each.name: (each.state, each.image) for each in report.applications} == {
        "web": (ApplicationState.STARTING, image("slow:v1")),
        "vault": (ApplicationState.RUNNING, image("hello:v2")),
        "cam": (ApplicationState.ROLLED_BACK, image("hello:v3")),
    }


def test_what_labels_say_of_a_container_is_understood(device: UpdatedDevice) -> None:
    found = pairs(device.engine.containers(fakes.THING), fakes.THING)["vault"].current

    assert found is not None
    assert found.supervision == Supervision(
        stop_grace_s=20, secrets=[Secret(name="tls.key", source="ssm:/fleetgrass/tls", given_as="file")]
    )


def test_a_trial_goes_on_and_ends_as_it_would_have(device: UpdatedDevice) -> None:
    device.update()
    device.engine.named(WEB).health = "healthy"
    device.turns(20.0)

    assert device.changes() == ["remove"]
    assert f"{WEB}.previous" not in {each.name for each in device.engine.all.values()}
    assert {each.reference for each in PulledImages(device.state).all()} == device.engine.images.keys()


def test_a_trial_that_fails_ends_with_the_container_of_before(device: UpdatedDevice) -> None:
    previous = device.engine.named(f"{WEB}.previous")
    device.update()
    device.clock.advance(560.0)
    device.turns(10.0)
    assert device.changes() == []

    device.turns(20.0)

    assert device.changes() == ["stop", "remove", "start", "rename"]
    assert device.engine.named(WEB) is previous


def test_what_waited_is_sent_and_the_open_command_is_answered(device: UpdatedDevice) -> None:
    device.update()

    assert REPORT_NOW in {result.id for result in device.waiting}
    for result in device.waiting:  # of a command that is not over, something newer
        assert result in device.told(result.id) or not result.state.final
    [proof] = device.told(REBOOT)
    assert (proof.state, proof.boot_id_before, proof.boot_id) == (CommandState.SUCCEEDED, "boot-1", "boot-2")
    assert device.machine.reboots == 0


def test_a_reboot_that_waits_is_done_in_its_time(device: UpdatedDevice) -> None:
    device.update()
    assert {result.code for result in device.told(LATER_REBOOT)} == {"delayed"}

    device.clock.advance(3_600.0)
    device.turns(60.0)

    assert device.told(LATER_REBOOT)[-1].state is CommandState.IN_PROGRESS
    assert device.machine.reboots == 1


def test_a_rotation_that_comes_again_is_not_done_again(device: UpdatedDevice) -> None:
    device.update()
    command = device.an_errand(RotateSecretsCommand, application="vault").model_copy(update={"id": ROTATION})

    device.send(command)
    device.turns(5.0)

    assert device.states(command)[-1] is CommandState.SUCCEEDED
    assert device.changes() == []


@of_before_rooms
def test_no_file_has_another_name(device: UpdatedDevice) -> None:
    device.update()

    there = STATES / BEFORE_ROOMS / "state"
    assert {file.name for file in Path.cwd().iterdir()} == {file.name for file in there.iterdir()}


@of_before_rooms
def test_a_reboot_is_proven_by_the_source_that_it_began_with(device: UpdatedDevice) -> None:
    device.link.values["boot_id_path"] = "/of/the/new/recipe"
    device.update()

    assert [proof.boot_id for proof in device.told(REBOOT)] == ["boot-2"]


@of_before_rooms
def test_the_sequence_goes_on_in_its_epoch(device: UpdatedDevice) -> None:
    device.update()

    assert {(event.epoch, event.sequence >= 128) for event in device.events()} == {("token-0000", True)}


@of_before_rooms
def test_settings_and_a_refusal_of_before_are_kept(device: UpdatedDevice) -> None:
    there = KeptSettings(device.own_folder.state()).settings
    assert there == parse_settings(device.link.values).settings
    assert (there.heartbeat_s, there.policy.host_network) == (120.0, True)

    device.update()

    [*_, report] = device.reports()
    assert report.desired is not None
    assert report.desired.refused is not None
    assert report.desired.refused.code == "image-not-found"


@of_before_rooms
def test_how_often_a_result_was_said_and_an_agent_ended_still_counts(device: UpdatedDevice) -> None:
    device.acknowledges = False
    device.update()

    said = json.loads(Path("acknowledgements.json").read_text())["said"]
    assert said[f"result:{ROTATION}"] == {"waits": 1, "hellos": 1}
    endings = Endings(device.state, device.clock)
    assert [endings.may_end(early=True) for _ in range(ENDS_MAX)] == [True, False]


@of_published
def test_the_published_version_could_come_back(device: UpdatedDevice) -> None:
    """Decision 32, and ``earlier_state``: its epoch is left to it, its ledger is lost to it."""
    device.update()

    assert "token-0000" not in {event.epoch for event in device.events()}
    assert (device.before / "work" / "commands.json").read_bytes() == LOST
    assert (device.before / "work" / "desired.json").read_bytes() == Path("desired.json").read_bytes()
