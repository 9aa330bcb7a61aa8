"""What a registry tells of an image before it is pulled: how much comes down, or that it cannot run here."""

from typing import Any

import pytest

from edge.containers.model.image_references import CredentialsUnavailable
from edge.ports.engine_errors import EngineUnavailable, WrongArchitecture
from edge.preflight.image_inspector import ImageInspector
from tests.edge.preflight.test_examiner import (
    Device,
    no_engine,
    no_login_now,
    slow_registry,
    strange_manifest,
)


def foreseen(device: Device, image: str) -> int:
    return ImageInspector(device.engine, device.logins, device.registry).estimate_pull_bytes(image, {})


def test_the_layers_of_an_image_are_what_comes_down() -> None:
    device = Device()

    assert foreseen(device, device.registry.add("amd64", 1_000, 2_000)) == 3_000


def test_an_image_for_another_machine_cannot_run_here() -> None:
    device = Device()

    with pytest.raises(WrongArchitecture, match="for arm64, this device is amd64"):
        foreseen(device, device.registry.add("arm64"))


def test_who_may_not_log_in_cannot_have_it() -> None:
    device = Device()
    device.logins.error = CredentialsUnavailable("access-denied")

    with pytest.raises(CredentialsUnavailable):
        foreseen(device, device.registry.add("amd64"))


@pytest.mark.parametrize("trouble", [slow_registry, no_login_now, strange_manifest])
def test_of_what_nobody_knows_now_nothing_is_said(trouble: Any) -> None:
    device = Device()
    image = device.registry.add("amd64", 5)
    trouble(device)

    assert foreseen(device, image) == 0


def test_without_the_engine_nothing_can_be_said() -> None:
    device = Device()
    image = device.registry.add("amd64", 5)
    no_engine(device)

    with pytest.raises(EngineUnavailable):
        foreseen(device, image)
