from collections.abc import Iterator

import pytest

from tests.support.nucleus.fleet import Fleet


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The emulator and the control plane; no stack, no engine."""
    shared = Fleet(tmp_path_factory.mktemp("fleet"))
    yield shared
    shared.stop()
