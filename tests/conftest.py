"""Where tests find a real container engine, how many examples property tests try, and AWS's descriptions."""

import functools
import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

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


#: What stands on the same thing is one worker's, with ``--dist loadgroup``; all else goes by file.
LANES: Mapping[str, Sequence[str]] = {
    "the platform": ("tests/platform/test_",),
    "the engine": ("tests/edge/engine/", "tests/edge/faults/", "tests/bench/"),
}
#: These stand on a platform, or an emulator, of their own.
BY_THEMSELVES = ("tests/platform/test_update_drill.py", "tests/platform/test_gdk.py")


def lane(nodeid: str) -> str:
    """The lane of a test, or its file."""
    file = nodeid.partition("::")[0]
    if file in BY_THEMSELVES:
        return file
    return next((lane for lane, places in LANES.items() if file.startswith(tuple(places))), file)


class Lanes(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker a lane at a time. Not by marks of xdist: findings/xdist-groups-are-ignored.sh."""

    def _split_scope(self, nodeid: str) -> str:
        return lane(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    return Lanes(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; of the rest, with what starts a core of its own."""

    def place(item: pytest.Item) -> int:
        order = ["the platform", *BY_THEMSELVES, "the engine"]
        found = lane(item.nodeid)
        if found in order:
            return order.index(found)
        return len(order) + (item.get_closest_marker("platform") is None)

    items.sort(key=place)


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
