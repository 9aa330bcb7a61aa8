"""The agent's version: the component's, as its run script found it on the device."""

import pytest

from edge.version import UNPACKAGED, version_in


@pytest.mark.parametrize("version", ["0.1.1", "1.0.0", "10.20.30", "1.2.3-rc.1", "1.2.3+build.5"])
def test_the_version_is_the_published_one(version: str) -> None:
    assert version_in({"FLEETGRASS_VERSION": version}) == version


@pytest.mark.parametrize(
    "named", ["", "NEXT_PATCH", "io.fleetgrass.Agent", "1.2", "1.2.3 ", "1.2.3-" + "x" * 60]
)
def test_what_is_no_version_is_an_agent_that_was_not_packaged(named: str) -> None:
    assert version_in({"FLEETGRASS_VERSION": named}) == UNPACKAGED
    assert version_in({}) == UNPACKAGED
