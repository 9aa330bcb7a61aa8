"""Volumes outlive everything but a deployment that says otherwise."""

from pathlib import Path
from typing import Any

import pytest

from contract.applications import Application
from contract.desired import DesiredDocument
from edge.containers.model.observed import volume_name
from edge.ports.engine import LABEL_APPLICATION, LABEL_THING
from edge.ports.engine_errors import EngineError
from tests.support.edge.containers import THING, Device, a_document, an_application, an_engine, current
from tests.support.edge.fake_engine import FakeEngine, FakeImage


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine(sick=FakeImage(health="unhealthy"))


@pytest.fixture
def device(engine: FakeEngine, tmp_path: Path) -> Device:
    return Device(engine, tmp_path)


def keeping(*names: str, application: str = "web", **fields: Any) -> Application:
    volumes = [{"name": name, "path": f"/{name}"} for name in names]
    return an_application(application, volumes=volumes, **fields)


def deleting(*applications: Application, revision: int = 2) -> DesiredDocument:
    return a_document(*applications, revision=revision).model_copy(update={"delete_volumes": True})


def of(name: str, application: str = "web") -> str:
    return volume_name(THING, application, name)


def test_a_volume_outlives_its_applications_end(device: Device, engine: FakeEngine) -> None:
    device.deploy(keeping("data"))
    device.deploy(revision=2)

    assert engine.all == {}
    assert set(engine.named_volumes) == {of("data")}


def test_a_deployment_may_delete_what_it_names_no_more_and_nothing_else(
    device: Device, engine: FakeEngine
) -> None:
    engine.named_volumes = {
        "theirs": {},
        of("other").replace("fleetgrass-", "fleetgrass-x"): {LABEL_THING: "another"},
        "by-label-only": {LABEL_THING: THING, LABEL_APPLICATION: "web"},
        of("by-name-only"): {},
    }
    foreign = set(engine.named_volumes)
    device.deploy(keeping("data", "cache"), keeping("data", application="api"))

    device.desire(deleting(keeping("data")))
    device.settle()

    assert set(engine.named_volumes) == {*foreign, of("data")}


def test_it_is_done_once_and_costs_later_passes_nothing(device: Device, engine: FakeEngine) -> None:
    device.desire(deleting(keeping("data")))
    device.settle()

    engine.calls.clear()
    device.settle()

    assert engine.calls == ["list"]


def test_what_was_rolled_back_to_keeps_its_volumes(device: Device, engine: FakeEngine) -> None:
    device.deploy(keeping("data"))

    device.desire(deleting(an_application(image_name="sick:v1")))
    device.settle()

    assert set(engine.named_volumes) == {of("data")}
    assert [mount.source for mount in engine.named(current()).spec.mounts] == [of("data")]


def test_an_engine_that_refuses_is_asked_again_later(
    device: Device, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.deploy(keeping("data"))
    with monkeypatch.context() as refusing:

        def refuse(name: str) -> None:
            raise EngineError("busy")

        refusing.setattr(engine, "remove_volume", refuse)
        device.desire(deleting())
        device.settle()
        assert set(engine.named_volumes) == {of("data")}

    device.settle()
    assert engine.named_volumes == {}
