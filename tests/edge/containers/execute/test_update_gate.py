"""Update locks and maintenance windows: what waits, for how long, and what does not wait at all."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from contract.desired import Application, DesiredDocument
from contract.reports import ApplicationState
from edge.ports.engine import LABEL_SUPERVISION
from edge.ports.engine_errors import EngineError
from tests.support.edge.containers import (
    Device,
    a_document,
    an_application,
    an_engine,
    current,
    image,
    previous,
)
from tests.support.edge.fake_engine import FakeEngine, FakeImage

# The clock of the tests begins at midnight, UTC.
AT_TWO = [{"cron": "0 2 * * *", "duration_min": 30}]
TWO_HOURS_S = 2 * 3600


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine(broken=FakeImage(health="unhealthy"))


@pytest.fixture
def device(engine: FakeEngine, tmp_path: Path) -> Device:
    return Device(engine, tmp_path)


def wanting(*applications: Application, revision: int = 2, **fields: Any) -> DesiredDocument:
    document = a_document(*applications, revision=revision).to_dict()
    return DesiredDocument.model_validate(document | fields)


def lock_of(device: Device, application: str = "web") -> Path:
    return device.folder / "locks" / application / "lock"


def deploy_locking(device: Device) -> None:
    device.deploy(an_application(update_lock=True))
    lock_of(device).touch()


def updated(engine: FakeEngine, folder: Path) -> tuple[Device, Device]:
    """Return a device as an agent before 0.2.0 had it, one container running, and as ours has it now."""
    earlier = Device(engine, folder / "work")
    earlier.deploy(an_application(update_lock=True))
    container = engine.named(current())
    told = json.loads(container.spec.labels[LABEL_SUPERVISION])
    del told["lock_folder"]
    labels = {**container.spec.labels, LABEL_SUPERVISION: json.dumps(told)}
    container.spec = replace(container.spec, labels=labels)
    device = Device(engine, folder / "state", earlier_folder=earlier.folder)
    device.deploy(an_application(update_lock=True))
    assert engine.named(current()) is container
    return earlier, device


def test_the_lock_of_a_container_that_an_earlier_agent_created_is_where_it_was(
    engine: FakeEngine, tmp_path: Path
) -> None:
    earlier, device = updated(engine, tmp_path)
    lock_of(earlier).touch()
    old = engine.named(current()).id
    device.desire(a_document(an_application(image_name="hello:v2", update_lock=True), revision=2))

    assert [status.code for status in device.reconciler.converge().statuses] == ["update-locked"]
    lock_of(earlier).unlink()
    device.settle()
    assert engine.named(current()).id != old

    lock_of(earlier).touch()  # by whoever that folder belongs to: what was created since has its lock in ours
    assert not device.reconciler.converge().locked
    lock_of(device).touch()
    assert device.reconciler.converge().locked


def test_the_lock_of_an_earlier_agents_container_counts_again_once_it_is_brought_back(
    engine: FakeEngine, tmp_path: Path
) -> None:
    earlier, device = updated(engine, tmp_path)
    old = engine.named(current()).id
    broken = an_application(image_name="broken:v1", update_lock=True, healthy_window_s=5)
    device.desire(a_document(broken, revision=2))
    assert device.settle().statuses[0].state is ApplicationState.ROLLED_BACK
    assert engine.named(current()).id == old

    lock_of(device).touch()  # what failed its trial has left it behind
    assert not device.reconciler.converge().locked
    lock_of(earlier).touch()
    assert device.reconciler.converge().locked
    device.desire(a_document(an_application(image_name="hello:v2", update_lock=True), revision=3))
    waiting = device.reconciler.converge()

    assert (waiting.statuses[0].code, engine.named(current()).id) == ("update-locked", old)


def test_a_lock_that_is_taken_while_the_replacement_exists_already_is_seen(
    engine: FakeEngine, tmp_path: Path
) -> None:
    earlier, device = updated(engine, tmp_path)
    engine.stop_errors[previous()] = EngineError("it does not stop")
    device.desire(a_document(an_application(image_name="hello:v2", update_lock=True), revision=2))
    device.reconciler.converge()
    assert [(each.name, each.state) for each in engine.all.values()] == [
        (previous(), "running"),
        (current(), "created"),
    ]

    lock_of(earlier).touch()

    assert device.reconciler.converge().locked


def test_a_lock_keeps_what_runs_until_it_is_released(device: Device, engine: FakeEngine) -> None:
    deploy_locking(device)
    old = engine.named(current()).id
    device.desire(a_document(an_application(image_name="hello:v2", update_lock=True), revision=2))

    for _ in range(10):
        waiting = device.reconciler.converge()
        device.clock.passed_s += 60

    [status] = waiting.statuses
    assert (status.code, status.image) == ("update-locked", image("hello:v1"))
    assert (waiting.settled, waiting.locked, waiting.critical) == (False, True, False)
    assert (engine.named(current()).id, engine.named(current()).state) == (old, "running")
    assert image("hello:v2") in engine.images
    assert waiting.next_look_s is not None
    assert waiting.next_look_s <= 1.0

    lock_of(device).unlink()
    result = device.settle()
    assert (result.statuses[0].state, result.statuses[0].image) == ("RUNNING", image("hello:v2"))
    assert not result.locked


@pytest.mark.parametrize("strategy", ["download-then-kill", "kill-then-download", "hand-over"])
def test_every_update_strategy_waits_for_a_lock_before_it_touches_anything(
    strategy: str, device: Device, engine: FakeEngine
) -> None:
    deploy_locking(device)
    before = {each.id: (each.name, each.state) for each in engine.all.values()}
    newer = an_application(image_name="hello:v2", update_lock=True, update_strategy=strategy)
    device.desire(a_document(newer, revision=2))

    for _ in range(10):
        waiting = device.reconciler.converge()
        device.clock.passed_s += 60

    assert {each.id: (each.name, each.state) for each in engine.all.values()} == before
    assert waiting.statuses[0].code == "update-locked"

    lock_of(device).unlink()
    assert device.settle().statuses[0].image == image("hello:v2")


def test_an_atomic_deployment_waits_for_the_one_that_is_locked(device: Device) -> None:
    device.deploy(an_application(update_lock=True), an_application("other"))
    lock_of(device).touch()
    newer = an_application(image_name="hello:v2", update_lock=True)
    device.desire(wanting(newer, an_application("other", image_name="hello:v2"), atomic=True))
    for _ in range(10):
        waiting = device.reconciler.converge()
        device.clock.passed_s += 60
    assert waiting.statuses[0].code == "update-locked"

    lock_of(device).unlink()
    result = device.settle()

    assert [each.image for each in result.statuses] == [image("hello:v2")] * 2


def test_force_does_not_wait_for_a_lock_or_a_window(device: Device) -> None:
    deploy_locking(device)
    newer = an_application(image_name="hello:v2", update_lock=True)
    device.desire(wanting(newer, windows=AT_TWO, force=True))

    assert device.settle(within_s=60).statuses[0].image == image("hello:v2")


def test_a_lock_holds_back_its_own_application_only(device: Device) -> None:
    device.deploy(an_application(update_lock=True), an_application("other"))
    lock_of(device).touch()
    device.desire(
        a_document(
            an_application(image_name="hello:v2", update_lock=True),
            an_application("other", image_name="hello:v2"),
            revision=2,
        )
    )

    for _ in range(10):
        web, other = device.reconciler.converge().statuses
        device.clock.passed_s += 5

    assert (web.code, web.image) == ("update-locked", image("hello:v1"))
    assert (other.state, other.image) == (ApplicationState.RUNNING, image("hello:v2"))


def test_a_lock_holds_back_a_removal_too(device: Device, engine: FakeEngine) -> None:
    deploy_locking(device)
    device.desire(a_document(revision=2))

    waiting = device.reconciler.converge()
    assert waiting.statuses[0].code == "update-locked"
    assert engine.named(current()).state == "running"

    lock_of(device).unlink()
    device.settle()
    assert engine.all == {}


def test_a_lock_that_its_holder_left_behind_when_it_ended_holds_nothing_back(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application(update_lock=True, restart="no"))
    lock_of(device).touch()
    engine.end(engine.named(current()), 1)

    result = device.deploy(an_application(image_name="hello:v2", update_lock=True), revision=2)

    assert result.statuses[0].image == image("hello:v2")


def test_a_file_where_a_lock_would_be_means_nothing_to_an_application_without_one(device: Device) -> None:
    device.deploy(an_application())
    lock_of(device).parent.mkdir(parents=True)
    lock_of(device).touch()

    result = device.deploy(an_application(image_name="hello:v2"), revision=2)

    assert result.statuses[0].image == image("hello:v2")
    assert not result.locked


def test_one_that_locks_and_never_becomes_healthy_is_rolled_back_all_the_same(device: Device) -> None:
    device.deploy(an_application())
    broken = an_application(image_name="broken:v1", update_lock=True, healthy_window_s=5)
    device.desire(a_document(broken, revision=2))
    lock_of(device).parent.mkdir(parents=True)
    lock_of(device).touch()

    assert device.settle().statuses[0].state is ApplicationState.ROLLED_BACK


def test_outside_of_its_windows_an_update_is_pulled_and_waits_and_says_until_when(
    device: Device, engine: FakeEngine
) -> None:
    device.deploy(an_application())
    midnight = device.clock.now() - timedelta(seconds=device.clock.passed_s)
    device.desire(wanting(an_application(image_name="hello:v2"), windows=AT_TWO))

    waiting = device.reconciler.converge()

    [status] = waiting.statuses
    assert (status.code, status.image) == ("outside-window", image("hello:v1"))
    assert status.next_try_at == midnight + timedelta(hours=2)
    assert image("hello:v2") in engine.images
    assert not waiting.settled

    device.clock.passed_s = TWO_HOURS_S
    assert device.settle(within_s=60).statuses[0].image == image("hello:v2")


def test_what_does_not_run_yet_need_not_wait_for_a_window(device: Device) -> None:
    device.desire(wanting(an_application(), windows=AT_TWO, revision=1))

    assert device.settle(within_s=60).statuses[0].state is ApplicationState.RUNNING


def test_a_replacement_that_has_begun_is_seen_through_after_its_window_has_closed(device: Device) -> None:
    device.deploy(an_application())
    device.clock.passed_s = TWO_HOURS_S + 29 * 60 + 59
    broken = an_application(image_name="broken:v1", healthy_window_s=120)
    device.desire(wanting(broken, windows=AT_TWO))

    result = device.settle()

    assert device.clock.passed_s > TWO_HOURS_S + 30 * 60
    assert (result.statuses[0].state, result.critical) == (ApplicationState.ROLLED_BACK, False)


def test_windows_of_the_device_go_by_its_own_time_zone(engine: FakeEngine, tmp_path: Path) -> None:
    def two_hours_ahead(moment: datetime) -> datetime:
        return moment + timedelta(hours=2)

    device = Device(engine, tmp_path, local=two_hours_ahead)
    device.deploy(an_application())
    here = [{**AT_TWO[0], "time_zone": "local"}]
    device.desire(wanting(an_application(image_name="hello:v2"), windows=here))

    assert device.settle(within_s=60).statuses[0].image == image("hello:v2")
