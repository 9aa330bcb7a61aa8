"""What is certain to fail on this device is refused before anything of the application is stopped."""

from pathlib import Path

import pytest

from contract.reports import ApplicationState
from edge.containers.model.image_gc import DiskReserve
from edge.containers.model.image_references import CredentialsUnavailable
from edge.host.disk_space import DiskSpace
from edge.ports.engine_errors import EngineError, ImageNotFound, RegistryDenied, WrongArchitecture
from tests.support.edge.containers import Device, a_document, an_application, an_engine, current
from tests.support.edge.fake_engine import FakeEngine

GIB = 1 << 30
STRATEGIES = ("download-then-kill", "kill-then-download", "hand-over")


@pytest.fixture
def engine() -> FakeEngine:
    return an_engine()


class Registry:
    """Tells how much comes down for an image, or that it is not to be had."""

    def __init__(self) -> None:
        self.answer: int | Exception = 0

    def estimate_pull_bytes(self, image: str) -> int:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def device(engine: FakeEngine, registry: Registry, tmp_path: Path) -> Device:
    return Device(
        engine,
        tmp_path,
        estimate_pull_bytes=registry.estimate_pull_bytes,
        disk=lambda: DiskSpace(40 * GIB, 10 * GIB),
        floor=DiskReserve(2 * GIB, share=0),
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("error", [WrongArchitecture("for arm64"), RegistryDenied("no"), ImageNotFound("no")])
def test_an_image_that_cannot_run_or_be_had_here_is_refused_with_nothing_stopped_and_nothing_pulled(
    device: Device, engine: FakeEngine, registry: Registry, strategy: str, error: EngineError
) -> None:
    device.deploy(an_application())
    before = len(engine.calls)
    registry.answer = error

    [status] = device.deploy(
        an_application(image_name="hello:v2", update_strategy=strategy), revision=2
    ).statuses

    assert (status.state, status.code) == (ApplicationState.ROLLED_BACK, error.code)
    assert not {"stop", "pull", "create"} & set(engine.calls[before:])
    assert engine.named(current()).starts == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_image_that_does_not_fit_is_refused_with_nothing_stopped_and_nothing_pulled(
    device: Device, engine: FakeEngine, registry: Registry, strategy: str
) -> None:
    device.deploy(an_application())
    before = len(engine.calls)
    registry.answer = 10 * GIB

    [status] = device.deploy(
        an_application(image_name="hello:v2", update_strategy=strategy), revision=2
    ).statuses

    assert (status.state, status.code) == (ApplicationState.ROLLED_BACK, "disk-full")
    assert not {"stop", "pull", "create"} & set(engine.calls[before:])
    assert engine.named(current()).starts == 1


def test_an_image_makes_room_for_a_larger_one_when_nobody_needs_it(
    engine: FakeEngine, registry: Registry, tmp_path: Path
) -> None:
    device = Device(
        engine,
        tmp_path,
        estimate_pull_bytes=registry.estimate_pull_bytes,
        disk=lambda: DiskSpace(40 * GIB, (20 - 6 * len(engine.images)) * GIB),
        floor=DiskReserve(2 * GIB, share=0),
    )
    device.deploy(an_application(image_name="hello:v1"))
    device.deploy(an_application(image_name="hello:v2"), revision=2)
    registry.answer = 10 * GIB

    [status] = device.deploy(an_application(image_name="hello:v3"), revision=3).statuses

    assert status.state is ApplicationState.RUNNING
    assert "remove image" in engine.calls


def test_who_may_not_ask_the_registry_stops_nothing_and_tries_again(
    device: Device, engine: FakeEngine, registry: Registry
) -> None:
    device.deploy(an_application())
    registry.answer = CredentialsUnavailable("access-denied", "the role may not log in")
    wanted = an_application(image_name="hello:v2", update_strategy="kill-then-download")
    device.desire(a_document(wanted, revision=2))
    before = len(engine.calls)

    [status] = device.reconciler.converge().statuses
    assert status.code == "access-denied"
    assert "stop" not in engine.calls[before:]

    registry.answer = 0
    assert device.settle().statuses[0].state is ApplicationState.RUNNING
