"""What an engine may show of a container, however strange: it costs no other application its status."""

from dataclasses import replace
from pathlib import Path

import pytest

from contract.reports import ApplicationState
from edge.containers.model.observed import current_name
from edge.ports.engine import LABEL_APPLICATION, LABEL_IMAGE, LABEL_THING
from tests.support.edge.containers import THING, Device, an_application, an_engine, current
from tests.support.edge.fake_engine import FakeContainer, FakeEngine


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine()


def relabelled(container: FakeContainer, **labels: str) -> None:
    container.spec = replace(container.spec, labels={**container.spec.labels, **labels})


@pytest.mark.parametrize("name", ["", "n" * 65, "Web", "a.previous"])
def test_what_is_labelled_with_no_applications_name_is_not_ours(
    name: str, engine: FakeEngine, tmp_path: Path
) -> None:
    device = Device(engine, tmp_path)
    foreign = engine.add_foreign(current_name(THING, name))
    relabelled(foreign, **{LABEL_THING: THING, LABEL_APPLICATION: name})

    found = device.deploy(an_application())

    assert [(each.name, each.state) for each in found.statuses] == [("web", ApplicationState.RUNNING)]
    assert foreign.state == "running"


def test_an_image_label_of_any_length_is_told_by_its_ends(engine: FakeEngine, tmp_path: Path) -> None:
    device = Device(engine, tmp_path)
    device.deploy(an_application())
    relabelled(engine.named(current()), **{LABEL_IMAGE: "i" * 600 + "\udcff"})

    [status] = device.reconciler.converge().statuses

    assert status.image is not None
    assert (len(status.image.encode()) <= 512, status.image[-1]) == (True, "?")


def test_a_container_that_the_wire_has_no_words_for_is_told_as_such_beside_the_others(
    engine: FakeEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(engine, tmp_path)
    device.deploy(an_application(ports=[{"container_port": 80}]), an_application("other"))
    container = engine.named(current())
    container.ports = tuple(replace(port, address="a" * 65) for port in container.ports)

    web, other = device.reconciler.converge().statuses

    assert (web.name, web.state, web.code) == ("web", ApplicationState.RUNNING, "internal-error")
    assert (web.message or "").startswith("address: ")
    assert (other.state, other.code) == (ApplicationState.RUNNING, None)
    assert "application cannot be told of: application=web" in caplog.text
