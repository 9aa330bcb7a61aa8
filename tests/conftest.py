"""Where tests find a real container engine, how many examples property tests try, and AWS's descriptions."""

import functools
import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import HealthCheck, settings

from cloud.environment import ENVIRONMENT
from local.docker.engine import find

# What importing and collecting leave behind stays to the end: looking through it for garbage, again and
# again, was a fifth of the collection's time.
gc.disable()

IN_CI = os.environ.get("CI") == "true"

# No deadline and no complaint about slow examples: machines are shared. In CI the examples are the same
# on every run, so that a red run is about the change and can be repeated.
settings.register_profile(
    "fleetgrass", deadline=None, derandomize=IN_CI, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fleetgrass")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For ``--dist loadgroup``: what shares the platform, or the engine, is one worker's and begins first.

    All else goes by file to whichever worker has time, what starts a platform or a core of its own before the
    rest.
    """

    def group(item: pytest.Item) -> tuple[int, str]:
        if "platform" in getattr(item, "fixturenames", ()):
            return 0, "platform"
        if item.get_closest_marker("engine"):
            return 1, "engine"
        return (2 if item.get_closest_marker("platform") else 3), str(item.path)

    items.sort(key=lambda item: group(item)[0])
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)[1]))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Collect garbage from here on, and only of what the tests make."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def environment_is_read_anew() -> None:
    """A function's process keeps what it read of its environment; each test has its own."""
    vars(ENVIRONMENT).clear()


@pytest.fixture(scope="session", autouse=True)
def sdk_reads_its_files_once() -> Iterator[None]:
    """Parsing the same JSON again for each new session was most of the time of tests on moto."""
    load_file = JSONFileLoader.load_file

    @functools.cache
    def loaded(path: str) -> Any:
        return load_file(JSONFileLoader(), path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: loaded(path))
        yield


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
