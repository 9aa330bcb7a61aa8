"""Where tests find a real container engine."""

import pytest

from local.engine import find


@pytest.fixture(scope="session")
def docker_host() -> str:
    """DOCKER_HOST of an engine that answers."""
    found = find()
    if found is None:
        pytest.skip("no Docker Engine answers at DOCKER_HOST or its default socket")
    return found
