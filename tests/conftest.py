"""Where tests find a real container engine, and how many examples the property tests try."""

import os

import pytest
from hypothesis import HealthCheck, settings

from local.engine import find

IN_CI = os.environ.get("CI") == "true"

# No deadline and no complaint about slow examples: machines are shared. In CI the examples are the same
# on every run, so that a red run is about the change and can be repeated.
settings.register_profile(
    "fleetgrass", deadline=None, derandomize=IN_CI, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fleetgrass")


@pytest.fixture(scope="session")
def docker_host() -> str:
    """DOCKER_HOST of an engine that answers; without one the test is skipped, but fails in CI."""
    found = find()
    if found is not None:
        return found
    missing = "no Docker Engine answers at DOCKER_HOST or its default socket"
    if IN_CI:
        pytest.fail(missing)
    pytest.skip(missing)
