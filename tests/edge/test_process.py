"""``python -m edge`` itself: a real process, the official SDK, a nucleus with a broker in memory."""

import hashlib
import io
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract import topics
from contract.commands import CollectLogsCommand, CommandResult, CommandState, RebootCommand
from contract.events import ConnectionEvent
from contract.names import COMPONENT
from contract.reports import DeviceReport
from edge.startup.earlier_state import LOST
from local.greengrass.nucleus.dialect import CLASSIC, LITE, Dialect
from local.greengrass.nucleus.ipc import MemoryBroker
from tests.edge.bundles.storage import Storage
from tests.support.edge.fakes import THING, AgentHarness
from tests.support.edge.process import ANSWER_S, DeviceProcess

pytestmark = pytest.mark.slow


@pytest.fixture(params=[CLASSIC, LITE], ids=lambda dialect: dialect.name)
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DeviceProcess]:
    made = DeviceProcess(tmp_path, request.param)
    with made.server:
        yield made
        made.kill()


def a_command() -> RebootCommand:
    harness = AgentHarness()
    harness.clock.date = harness.clock.date.fromtimestamp(time.time(), harness.clock.date.tzinfo)
    return harness.a_command()


def test_a_device_comes_online_reboots_with_proof_and_leaves_in_order(device: DeviceProcess) -> None:
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
    device: DeviceProcess,
) -> None:
    process = device.start()
    device.hello()

    device.server.restart()

    deadline = time.monotonic() + ANSWER_S
    while "cannot connect to the nucleus: try=1" not in device.log() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None
    assert device.end() == 0


class DeafEngine:
    """A socket of an engine that hangs up on everybody, and knows how often it was asked."""

    def __init__(self, path: Path) -> None:
        self.asked = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._hang_up)
        self._thread.start()

    def _hang_up(self) -> None:
        while True:
            try:
                asking, _ = self._listener.accept()
            except OSError:
                return
            asking.close()
            self.asked += 1

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


def until(true: Callable[[], bool], device: DeviceProcess) -> None:
    deadline = time.monotonic() + ANSWER_S
    while not true():
        assert time.monotonic() < deadline, device.log()
        time.sleep(0.02)


def test_a_configured_device_is_supervised_before_its_nucleus_is_there_and_heard_once_it_is(
    device: DeviceProcess,
) -> None:
    device.start()
    before = device.hello()
    assert device.end() == 0
    device.server.stop()
    engine = DeafEngine(device.folder / "engine.sock")

    process = device.start(DOCKER_HOST=f"unix://{device.folder}/engine.sock")
    until(lambda: engine.asked > 3, device)
    assert process.poll() is None
    device.server.start()
    after = device.hello(after=before.sequence)

    assert (after.epoch, after.boot_id) == (before.epoch, before.boot_id)
    assert (process.poll(), device.end()) == (None, 0)
    engine.close()


@pytest.mark.parametrize("dialect", [CLASSIC, LITE], ids=lambda dialect: dialect.name)
def test_four_restarts_of_the_nucleus_leave_an_agent_that_still_supervises(
    dialect: Dialect, tmp_path: Path
) -> None:
    device = DeviceProcess(tmp_path, dialect)
    engine = DeafEngine(tmp_path / "engine.sock")
    with device.server:
        sequence, ends = -1, list[int]()
        while len(ends) < 2:
            process = device.start(DOCKER_HOST=f"unix://{tmp_path}/engine.sock")
            sequence = device.hello(after=sequence).sequence
            device.server.restart()
            ends.append(process.wait(ANSWER_S))
        process = device.start(DOCKER_HOST=f"unix://{tmp_path}/engine.sock")
        device.hello(after=sequence)
        device.server.restart()
        until(lambda: "cannot connect to the nucleus: try=4" in device.log(), device)
        asked = engine.asked
        device.server.restart()
        until(lambda: engine.asked > asked + 3, device)

        assert ends == [1, 1]
        assert (process.poll(), device.end()) == (None, 0)
    engine.close()


class FatalBroker(MemoryBroker):
    """Takes the first IN_PROGRESS and kills the agent before its publish returns: about to reboot."""

    device: DeviceProcess | None = None

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        super().publish(topic, payload, qos)
        if self.device is not None and topic == topics.command_result(THING, "reboot"):
            device, self.device = self.device, None
            assert CommandResult.from_json(payload).state is CommandState.IN_PROGRESS
            device.kill()


def test_killed_about_to_reboot_it_never_reboots_by_itself_and_says_that_there_was_none(
    tmp_path: Path,
) -> None:
    broker = FatalBroker()
    device = DeviceProcess(tmp_path, CLASSIC, broker=broker, settings={"reboot_grace_s": 0.5})
    with device.server:
        process = device.start()
        hello = device.hello()
        broker.device = device
        command = a_command()
        device.broker.send(topics.command_request(THING, "reboot"), command.to_json())
        assert process.wait(ANSWER_S) == -9

        device.start()
        after = device.hello(after=hello.sequence)
        failed = device.result(command, "FAILED")
        device.broker.send(topics.command_request(THING, "reboot"), command.to_json())
        device.wait_for(topics.report(THING), DeviceReport, lambda r: r.sequence > after.sequence + 2)
        assert device.end() == 0

    assert (failed.code, failed.boot_id_before) == ("reboot-not-performed", hello.boot_id)
    assert not device.power.exists()


def test_the_newer_of_two_agents_ends_the_older_and_goes_on_from_its_state(device: DeviceProcess) -> None:
    """As when a nucleus dies alone: its component lives on, and the next nucleus starts another."""
    older = device.start()
    first = device.hello()
    newer = device.start()

    assert older.wait(ANSWER_S) == 0
    second = device.hello(after=first.sequence)

    assert newer.poll() is None
    assert second.epoch == first.epoch
    assert "another agent has the state folder and is ended" in device.log()
    assert device.end() == 0


def test_state_of_a_version_before_is_taken_over_at_the_first_start(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    for name in ("commands.json", "outbox.json"):
        (earlier / name).write_text("{")
    device = DeviceProcess(tmp_path, CLASSIC)
    with device.server:
        device.start(FLEETGRASS_EARLIER=str(earlier))
        device.hello()
        assert device.end() == 0

    log = device.log()
    assert log.count("state of an earlier version taken over") == 2
    assert log.index("taken over: file=commands.json") < log.index("agent started")
    assert (earlier / "commands.json").read_bytes() == LOST


def test_a_ledger_of_before_that_the_disk_does_not_take_is_a_lost_one(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "commands.json").write_text("{")
    device = DeviceProcess(tmp_path, CLASSIC)
    with device.server:
        (tmp_path / "work" / "commands.json.new").mkdir(parents=True)
        device.start(FLEETGRASS_EARLIER=str(earlier))
        device.hello()
        assert device.end() == 0

    assert "state file is unusable: file=commands.json" in device.log()
    assert "an earlier version's is not taken over yet" in device.log()


def test_a_folder_that_others_may_change_is_mended_at_the_start_or_reported(tmp_path: Path) -> None:
    above = tmp_path / "above"
    place = above / "home" / "place"
    place.mkdir(parents=True)
    device = DeviceProcess(place, CLASSIC)
    for folder in (above, place.parent, place):
        folder.chmod(0o777)
    with device.server:
        device.start(FLEETGRASS_PLACE=str(place))
        report = device.wait_for(topics.report(THING), DeviceReport, lambda r: r.desired is not None)
        assert device.end() == 0

    assert [folder.stat().st_mode & 0o777 for folder in (place.parent, place)] == [0o755, 0o755]
    assert report.desired is not None
    assert (report.desired.code, report.desired.message) == (
        "unsafe-folder",
        f"{above} may be written by others",
    )


def test_a_way_that_others_may_change_is_reported_where_only_its_name_shows_it(tmp_path: Path) -> None:
    place, between = tmp_path / "home" / "place", tmp_path / "between"
    for folder in (place, between):
        folder.mkdir(parents=True)
    (between / "link").symlink_to(tmp_path / "home")
    between.chmod(0o777)
    device = DeviceProcess(place, CLASSIC)
    with device.server:
        device.start(FLEETGRASS_PLACE=str(place), FLEETGRASS_HOME=str(between / "link"))
        report = device.wait_for(topics.report(THING), DeviceReport, lambda r: r.desired is not None)
        assert device.end() == 0

    assert report.desired is not None
    assert report.desired.message == f"{between} may be written by others"


def test_settings_that_are_no_good_end_no_start_and_are_told_by_their_keys(device: DeviceProcess) -> None:
    device.start()
    before = device.hello()
    assert device.end() == 0

    device.configure(
        heartbeat_s="often", boot_id_path="/nonexistent", reboot_command=["/none"], log_level="DEBUG"
    )
    device.start()
    hello = device.hello(after=before.sequence)
    report = device.wait_for(topics.report(THING), DeviceReport, lambda r: r.sequence > hello.sequence)
    assert device.end() == 0

    assert (report.interval_s, report.boot_id) == (0.3, before.boot_id)  # the last good ones
    assert report.desired is not None
    assert report.desired.code == "configuration-invalid"
    for key in (
        "heartbeat_s: ",
        "boot_id_path: /nonexistent: ",
        "reboot_command: there is no command '/none'",
    ):
        assert key in (report.desired.message or "")


def test_a_first_start_with_settings_that_are_no_good_goes_by_the_defaults(tmp_path: Path) -> None:
    device = DeviceProcess(tmp_path, LITE, settings={"heartbeat_s": "often", "boot_id_path": "/nonexistent"})
    with device.server:
        device.start()
        hello = device.hello()
        assert device.end() == 0

    assert hello.interval_s == 60.0
    assert hello.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert "configuration is not usable: boot_id_path: /nonexistent: " in device.log()


def test_only_an_environment_that_is_no_good_ends_a_start_in_one_line_that_names_it(tmp_path: Path) -> None:
    device = DeviceProcess(tmp_path, LITE)
    with device.server:
        assert device.start(SVCUID="").wait(ANSWER_S) == 2

    [line] = device.log().splitlines()
    assert "SVCUID" in line


@pytest.mark.parametrize("device", [CLASSIC], ids=["classic"], indirect=True)
def test_a_classic_nucleus_is_let_go_on_with_an_update_and_waits_for_no_verdict_of_ours(
    device: DeviceProcess,
) -> None:
    device.start()
    device.hello()
    consultation, off = device.components.consultation, threading.Event()

    consultation.ask_to_update("d-1", ANSWER_S, off)
    began = time.monotonic()
    refused = consultation.refusals("d-2", {COMPONENT: {"publish_address": "here"}}, ANSWER_S, off)

    assert (refused, time.monotonic() - began < 1.0) == ({}, True)
    assert "update announced: deployment=d-1 wait_s=0" in device.log()


def test_a_bundle_with_the_logs_of_this_agent_and_the_one_before_it_arrives_and_its_url_is_nowhere(
    device: DeviceProcess,
) -> None:
    storage = Storage()
    device.start()
    hello = device.hello()
    device.kill()
    device.start()
    device.hello(after=hello.sequence)
    harness = AgentHarness()
    harness.clock.date = datetime.now(UTC)
    command = harness.an_errand(CollectLogsCommand, upload={"url": storage.url, "max_bytes": 50_000})

    device.send(command)
    told = device.result(command, "SUCCEEDED")
    storage.stop()

    [(_, _, body)] = storage.taken
    assert told.bundle is not None
    assert (told.bundle.bytes, told.bundle.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        log = archive.extractfile("agent.log")
        assert log is not None
        text = log.read().decode()
    assert text.count("agent started") == 2
    state = b"".join(each.read_bytes() for each in (device.folder / "work").rglob("*") if each.is_file())
    assert "X-Amz-Signature" not in state.decode(errors="replace") + device.log() + text
