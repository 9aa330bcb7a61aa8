"""A whole core device as a process: real MQTT over mutual TLS, real IoT Jobs, the official IPC client."""

import json
import os
import pwd
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.nucleus.fleet import PROBE, Cloud, Core, Fleet, soon
from tests.support.platform.cable import Cable

pytestmark = pytest.mark.platform

Running = tuple[Core, str, str]


@pytest.fixture
def cloud(fleet: Fleet) -> Iterator[Cloud]:
    """A client of the broker that hears what every probe says."""
    with fleet.cloud() as connection:
        yield connection


@contextmanager
def powered(core: Core) -> Iterator[Core]:
    core.power_on()
    try:
        yield core
    finally:
        core.shut_down()


def a_version() -> str:
    return f"1.0.{secrets.randbelow(10**6)}"


def a_group() -> str:
    return f"group-{secrets.token_hex(4)}"


@pytest.mark.parametrize("dialect", ["classic", "lite", "lite-main"])
def test_a_deployment_brings_a_component_from_s3_to_the_broker(
    fleet: Fleet, cloud: Cloud, tmp_path: Path, dialect: str
) -> None:
    group, version = a_group(), a_version()
    fleet.publish(version)
    with powered(fleet.core(group, dialect=dialect, folder=tmp_path / "d")) as core:
        deployment = fleet.deploy(group, version, merge={"interval": 7})

        assert core.outcome(deployment) == ("SUCCEEDED", {"detailed-deployment-status": "SUCCESSFUL"})
        soon(lambda: bool(cloud.of("start")), core)
        start = cloud.of("start")[0]
        assert start["configuration"]["interval"] == 7
        assert start["configuration"]["place"] == {"line": "a"}
        assert start["environment"]["HELLO"] == "from the recipe"
        assert start["environment"]["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith("http://localhost:")
        assert start["folder"] == str((tmp_path / "d" / "greengrass" / "work" / PROBE).resolve())

        cloud.publish(f"probe/{core.thing}/cmd", "hello")
        soon(lambda: bool(cloud.of("echo")), core)
    if dialect == "classic":  # IPC is dead before the component is asked to end
        assert cloud.of("bye") == []
    else:
        soon(lambda: bool(cloud.of("bye")), core)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize("dialect", ["classic", "lite"])
def test_what_a_core_that_is_root_downloads_belongs_to_the_component_user(
    fleet: Fleet, tmp_path: Path, dialect: str
) -> None:
    group, version = a_group(), a_version()
    fleet.publish(version, run={"Script": "exec sleep 60", "RequiresPrivilege": True}, install=None)
    folder = tmp_path / "d"
    with powered(fleet.core(group, dialect=dialect, folder=folder, component_user="nobody")) as core:
        assert core.outcome(fleet.deploy(group, version))[0] == "SUCCEEDED"

    nobody = pwd.getpwnam("nobody").pw_uid
    [archive] = (folder / "greengrass" / "packages" / "artifacts").rglob("probe.zip")
    [code] = (folder / "greengrass" / "packages" / "artifacts-unarchived").rglob("probe.py")
    work = folder / "greengrass" / "work" / PROBE
    assert [path.stat().st_uid for path in (archive, code, code.parent, work)] == [nobody] * 4
    assert [archive.parent.stat().st_uid, code.parents[1].stat().st_uid] == [0, 0]


@pytest.fixture
def running(fleet: Fleet, cloud: Cloud, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    """A core whose probe runs: the core, its group, the probe's version."""
    dialect = getattr(request, "param", "classic")
    group, version = a_group(), a_version()
    fleet.publish(version)
    with powered(fleet.core(group, dialect=dialect, folder=tmp_path / "d")) as core:
        assert core.outcome(fleet.deploy(group, version))[0] == "SUCCEEDED"
        soon(lambda: bool(cloud.of("start")), core)
        yield core, group, version


def has_started(cloud: Cloud, times: int) -> bool:
    return len(starts_of(cloud)) == times


def starts_of(cloud: Cloud) -> list[int]:
    return [message["pid"] for message in cloud.of("start")]


both = pytest.mark.parametrize("running", ["classic", "lite", "lite-main"], indirect=True)


def test_a_merge_reaches_the_running_component_as_an_event_and_does_not_restart_it_in_classic(
    fleet: Fleet, cloud: Cloud, running: Running
) -> None:
    core, group, version = running

    assert core.outcome(fleet.deploy(group, version, merge={"place": {"line": "b"}}))[0] == "SUCCEEDED"

    soon(lambda: bool(cloud.of("changed")), core)
    assert cloud.of("changed")[0]["keys"] == ["place", "line"]
    assert len(starts_of(cloud)) == 1


@pytest.mark.parametrize("running", ["lite", "lite-main"], indirect=True)
def test_an_entry_with_a_merge_restarts_the_component_of_lite(
    fleet: Fleet, cloud: Cloud, running: Running
) -> None:
    core, group, version = running

    assert core.outcome(fleet.deploy(group, version, merge={"place": {"line": "b"}}))[0] == "SUCCEEDED"

    soon(lambda: len(starts_of(cloud)) == 2, core)
    assert cloud.of("start")[1]["configuration"]["place"] == {"line": "b"}


def test_a_reset_brings_the_recipes_default_back(fleet: Fleet, cloud: Cloud, running: Running) -> None:
    core, group, version = running
    core.outcome(fleet.deploy(group, version, merge={"interval": 9, "extra": 1}))

    assert core.outcome(fleet.deploy(group, version, reset=["/interval", "/extra"]))[0] == "SUCCEEDED"
    core.command("restart-nucleus")

    soon(lambda: len(starts_of(cloud)) == 2, core)
    assert cloud.of("bye") == []  # IPC is dead before the component is asked to end
    configuration = cloud.of("start")[1]["configuration"]
    assert configuration["interval"] == 5
    assert "extra" not in configuration


@both
def test_a_power_cycle_changes_the_boot_id_and_starts_what_was_installed(
    cloud: Cloud, running: Running
) -> None:
    core, _, _ = running
    before = core.boot_id()

    core.command("reboot")

    soon(lambda: len(starts_of(cloud)) == 2, core)
    assert core.boot_id() != before
    assert cloud.of("bye") == []


def test_a_machine_that_is_powered_on_again_runs_nothing_twice(cloud: Cloud, running: Running) -> None:
    core, _, _ = running

    core.kill()
    core.power_on()

    soon(lambda: len(starts_of(cloud)) == 2, core)
    cloud.publish(f"probe/{core.thing}/cmd", "who is there")
    soon(lambda: bool(cloud.of("echo")), core)
    assert {message["pid"] for message in cloud.of("echo")} == {starts_of(cloud)[1]}


def test_a_killed_nucleus_leaves_an_orphan_and_starts_the_component_a_second_time(
    cloud: Cloud, running: Running
) -> None:
    core, _, _ = running
    before = core.boot_id()

    core.command("kill-nucleus")

    soon(lambda: len(starts_of(cloud)) == 2, core)
    assert core.boot_id() == before
    assert cloud.of("bye") == []


@both
def test_a_component_killed_with_sigkill_is_started_again_with_a_new_token(
    cloud: Cloud, running: Running
) -> None:
    core, _, _ = running

    core.command(f"crash {PROBE}")

    soon(lambda: len(starts_of(cloud)) == 2, core)
    first, second = [message["environment"]["SVCUID"] for message in cloud.of("start")]
    assert first != second


def test_a_component_that_crashes_three_times_within_the_hour_is_broken(
    fleet: Fleet, cloud: Cloud, running: Running
) -> None:
    core, _, _ = running

    for crash in (1, 2, 3):
        soon(partial(has_started, cloud, crash), core)
        core.command(f"crash {PROBE}")

    def state() -> str:
        components = fleet.greengrass.list_installed_components(coreDeviceThingName=core.thing)
        return next(
            str(component["lifecycleState"])
            for component in components["installedComponents"]
            if component["componentName"] == PROBE
        )

    soon(lambda: state() == "BROKEN", core)


@pytest.mark.parametrize("running", ["lite"], indirect=True)
def test_a_lite_nucleus_that_restarts_leaves_the_component_to_find_out(
    cloud: Cloud, running: Running
) -> None:
    core, _, _ = running

    core.command("restart-nucleus")

    soon(lambda: len(starts_of(cloud)) == 2, core)
    assert cloud.of("bye") == []


def test_an_artifact_that_is_not_what_was_published_is_refused_and_nothing_changes(
    fleet: Fleet, cloud: Cloud, running: Running
) -> None:
    core, group, _ = running
    bad = a_version()
    fleet.publish(bad, wrong_digest=True)

    status, details = core.outcome(fleet.deploy(group, bad))

    assert (status, details["detailed-deployment-status"]) == ("FAILED", "FAILED_NO_STATE_CHANGE")
    assert "digest" in details["deployment-failure-cause"]
    assert len(starts_of(cloud)) == 1


def test_a_version_that_is_broken_within_a_second_is_rolled_back_by_classic(
    fleet: Fleet, cloud: Cloud, running: Running
) -> None:
    core, group, version = running
    bad = a_version()
    fleet.publish(bad, run="exit 1")

    status, details = core.outcome(fleet.deploy(group, bad))

    assert (status, details["detailed-deployment-status"]) == ("FAILED", "FAILED_ROLLBACK_COMPLETE")
    assert details["deployment-error-stack"] == (
        '["DEPLOYMENT_FAILURE","COMPONENT_UPDATE_ERROR","COMPONENT_BROKEN"]'
    )
    assert details["deployment-error-types"] == '["USER_COMPONENT_ERROR"]'
    soon(lambda: len(starts_of(cloud)) == 2, core)
    assert cloud.of("start")[1]["version"] == version


def test_a_component_that_no_deployment_names_any_more_is_removed(
    fleet: Fleet, cloud: Cloud, running: Running
) -> None:
    core, group, _ = running

    assert core.outcome(fleet.deploy(group, None))[0] == "SUCCEEDED"

    assert len(cloud.of("bye")) == 1
    assert not (core.folder / "greengrass" / "work" / PROBE).exists()


def test_a_deployment_interrupted_by_a_power_cut_is_finished_at_the_next_power_on(
    fleet: Fleet, cloud: Cloud, running: Running
) -> None:
    core, group, _ = running
    slow = a_version()
    mark = core.folder / "installing"
    fleet.publish(slow, install=f'touch "{mark}"; test -e "{mark}2" || sleep 60')
    deployment = fleet.deploy(group, slow)
    soon(mark.exists, core)
    (core.folder / "installing2").touch()

    core.command("reboot")

    assert core.outcome(deployment)[0] == "SUCCEEDED"
    soon(lambda: cloud.of("start")[-1]["version"] == slow, core)


@pytest.mark.parametrize(("running", "replayed"), [("classic", True), ("lite", False)], indirect=["running"])
def test_a_command_to_an_unreachable_device_waits_for_classic_and_is_lost_for_lite(
    fleet: Fleet, cloud: Cloud, running: Running, replayed: bool
) -> None:
    core, _, _ = running
    core.command("disconnect 600")
    soon(lambda: "mqtt disconnected for a while" in core.log(), core)
    cloud.publish(f"probe/{core.thing}/cmd", "meanwhile")
    core.command("connect")

    soon(lambda: core.log().count("mqtt connected") == 2, core)
    cloud.publish(f"probe/{core.thing}/cmd", "afterwards")

    soon(lambda: "afterwards" in [message["text"] for message in cloud.of("echo")], core)
    assert ("meanwhile" in [message["text"] for message in cloud.of("echo")]) is replayed


def command_lost_over(what: str, core: Core, cloud: Cloud) -> bool:
    """Whether a command that was sent while ``what`` was going on never arrived."""
    core.command(what)
    soon(lambda: "mqtt connection lost" in core.log() or "power off" in core.log(), core)
    cloud.publish(f"probe/{core.thing}/cmd", "meanwhile")
    soon(lambda: len(starts_of(cloud)) == 2, core)
    cloud.publish(f"probe/{core.thing}/cmd", "afterwards")
    soon(lambda: "afterwards" in [message["text"] for message in cloud.of("echo")], core)
    return "meanwhile" not in [message["text"] for message in cloud.of("echo")]


def test_a_command_during_a_reboot_is_lost_in_classic_too(cloud: Cloud, running: Running) -> None:
    core, _, _ = running

    assert command_lost_over("reboot", core, cloud)


def test_a_command_to_a_nucleus_that_restarts_is_lost_in_classic(cloud: Cloud, running: Running) -> None:
    core, _, _ = running
    core.command("disconnect 600")
    soon(lambda: "mqtt disconnected for a while" in core.log(), core)
    cloud.publish(f"probe/{core.thing}/cmd", "meanwhile")  # the broker keeps it for the session

    core.command("restart-nucleus")

    soon(lambda: len(starts_of(cloud)) == 2, core)
    cloud.publish(f"probe/{core.thing}/cmd", "afterwards")
    soon(lambda: "afterwards" in [message["text"] for message in cloud.of("echo")], core)
    assert "meanwhile" not in [message["text"] for message in cloud.of("echo")]


def test_a_command_to_a_component_that_is_down_is_lost_though_its_nucleus_is_connected(
    fleet: Fleet, cloud: Cloud, tmp_path: Path
) -> None:
    group, version, folder = a_group(), a_version(), tmp_path / "d"
    gate = tmp_path / "gate"
    gate.touch()
    probe = f'exec "{sys.executable}" "{{artifacts:decompressedPath}}/probe/probe.py" {version}'
    fleet.publish(version, run=f'while ! test -e "{gate}"; do sleep 0.05; done; {probe}')
    with powered(fleet.core(group, dialect="classic", folder=folder)) as core:
        assert core.outcome(fleet.deploy(group, version))[0] == "SUCCEEDED"
        soon(lambda: bool(cloud.of("start")), core)
        gate.unlink()

        core.command(f"crash {PROBE}")
        soon(lambda: "component failed" in core.log(), core)
        cloud.publish(f"probe/{core.thing}/cmd", "meanwhile")
        gate.touch()

        soon(lambda: len(starts_of(cloud)) == 2, core)
        cloud.publish(f"probe/{core.thing}/cmd", "afterwards")
        soon(lambda: "afterwards" in [message["text"] for message in cloud.of("echo")], core)
    assert "meanwhile" not in [message["text"] for message in cloud.of("echo")]


def test_a_job_whose_end_was_not_told_before_the_nucleus_went_is_told_by_the_next_one(
    fleet: Fleet, tmp_path: Path
) -> None:
    group, version = a_group(), a_version()
    fleet.publish(version)
    folder = tmp_path / "d"
    with powered(fleet.core(group, dialect="classic", folder=folder, job_delay_s=1)) as core:
        deployment = fleet.deploy(group, version)
        soon(lambda: "deployment succeeded" in core.log(), core)
        core.command("disconnect 600")  # what it says now, nobody answers
        soon(lambda: "job topic waits" in core.log() or "mqtt disconnected" in core.log(), core)

        core.command("restart-nucleus")

        assert core.outcome(deployment)[0] == "SUCCEEDED"
        assert core.log().count("job taken") == 2


def test_before_the_first_connection_a_subscription_waits_and_is_live_with_it(
    fleet: Fleet, cloud: Cloud, running: Running
) -> None:
    core, _, _ = running
    core.shut_down()
    settings = json.loads((core.folder / "device.json").read_text())
    cable = Cable(settings["mqtt_port"])
    cable.cut()
    (core.folder / "device.json").write_text(json.dumps(settings | {"mqtt_port": cable.port}))
    try:
        core.power_on()
        soon(lambda: "mqtt connection failed" in core.log(), core)
        time.sleep(1)
        assert len(starts_of(cloud)) == 1  # its first call is the subscription

        cable.mend()

        soon(lambda: len(starts_of(cloud)) == 2, core)
        cloud.publish(f"probe/{core.thing}/cmd", "hello")
        soon(lambda: len(cloud.of("echo")) == 1, core)
    finally:
        core.shut_down()
        cable.close()


@pytest.mark.parametrize("running", ["classic", "lite"], indirect=True)
def test_a_deployment_to_one_thing_is_carried_out_by_classic_and_never_reaches_lite(
    fleet: Fleet, cloud: Cloud, running: Running
) -> None:
    core, group, version = running
    lite = "aws_nucleus_lite" in str(fleet.greengrass.get_core_device(coreDeviceThingName=core.thing))

    to_thing = fleet.deploy(f"thing/{core.thing}", version, merge={"place": {"line": "of the thing"}})

    def status() -> str:
        return str(fleet.greengrass.get_deployment(deploymentId=to_thing)["deploymentStatus"])

    if not lite:
        soon(lambda: status() == "COMPLETED", core)
        soon(lambda: bool(cloud.of("changed")), core)
        found = fleet.greengrass.list_effective_deployments(coreDeviceThingName=core.thing)
        newest = found["effectiveDeployments"][0]
        assert (newest["deploymentId"], newest["coreDeviceExecutionStatus"]) == (to_thing, "COMPLETED")
        assert "iotJobId" not in newest
    # What a device does next shows that it passed the other over.
    assert core.outcome(fleet.deploy(group, version, merge={"interval": 9}))[0] == "SUCCEEDED"
    assert status() == ("ACTIVE" if lite else "COMPLETED")
    assert ("shadow deployment" in core.log()) != lite


@pytest.mark.parametrize(("dialect", "status"), [("classic", "SUCCEEDED"), ("lite", "FAILED")])
def test_a_certificate_that_may_not_ask_for_its_groups_fails_the_deployment_in_lite(
    fleet: Fleet, tmp_path: Path, dialect: str, status: str
) -> None:
    group, version = a_group(), a_version()
    fleet.publish(version)
    with powered(fleet.core(group, dialect=dialect, folder=tmp_path / "d", may=())) as core:
        assert core.outcome(fleet.deploy(group, version))[0] == status
        assert ("Failed to get thing group hierarchy" in core.log()) == (dialect == "classic")


def test_a_deployment_older_than_the_last_one_of_its_group_is_rejected_with_greengrass_words(
    fleet: Fleet, running: Running
) -> None:
    core, group, version = running
    path = core.folder / "deployments.json"
    core.shut_down()
    stored = json.loads(path.read_text())
    stored["targets"][f"thinggroup/{group}"]["created_at_ms"] += 3_600_000  # by a clock that was ahead
    path.write_text(json.dumps(stored))
    core.power_on()

    status, details = core.outcome(fleet.deploy(group, version, merge={"interval": 9}))

    assert (status, details["detailed-deployment-status"]) == ("REJECTED", "REJECTED")
    assert "Nucleus has a newer deployment" in details["deployment-failure-cause"]
    assert details["deployment-error-stack"] == '["DEPLOYMENT_FAILURE","REJECTED_STALE_DEPLOYMENT"]'


def test_a_role_without_a_permission_makes_the_deployment_fail_and_say_so(
    fleet: Fleet, cloud: Cloud, tmp_path: Path
) -> None:
    group, version = a_group(), a_version()
    fleet.publish(version)
    powerless = fleet.make_role()
    with powered(fleet.core(group, dialect="classic", folder=tmp_path / "d", role_arn=powerless)) as core:
        status, details = core.outcome(fleet.deploy(group, version))

    assert status == "FAILED"
    assert "(403)" in details["deployment-failure-cause"]
