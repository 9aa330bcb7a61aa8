from collections.abc import Iterator
from pathlib import Path

import pytest

from local.aws import LocalAws
from local.processes import free_ports
from tests.platform.lab import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The mended emulator alone: no stack, no control plane, no engine."""
    folder: Path = tmp_path_factory.mktemp("emulator")
    port, mqtt_port, control_plane = free_ports(3)
    aws = LocalAws(folder, port=port, mqtt_port=mqtt_port, control_plane=f"http://127.0.0.1:{control_plane}")
    yield Lab(aws, folder)
    aws.stop()
