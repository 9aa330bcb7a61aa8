"""The running API, held against docs/openapi.json: the bounded form of ``make api-conformance``.

It may change what is in its own groups and nothing else: its token says so. So the routes of the audit,
which are the whole fleet's, are refused here, and are held against the document by the full form alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from local.demo.api_client import Api
from local.platform import Platform
from tests.conformance.running import APPLICATION, OPERATIONS, run, seed
from tests.support.platform.lab import until
from tests.support.platform.robots import Robot

pytestmark = pytest.mark.platform

GROUP, THING, LOOSE = "line-conform", "robot-conform", "robot-conform-loose"
ROLES = ["Fleet.Reader", f"Fleet.Deployer:{GROUP}", f"Fleet.Deployer:{GROUP}-spare"]
FEW = ["--phases=examples,fuzzing,stateful", "--max-examples=5", "--seed=1"]


@pytest.fixture
def seeds(platform: Platform) -> Iterator[Mapping[str, Sequence[str]]]:
    """One of everything in a group of its own: a device that does nothing but talk, and one that is off."""
    platform.enroll(LOOSE, GROUP)
    robot = Robot(platform, THING, GROUP, [])
    admin = Api(platform.api_url, platform.token("Fleet.Admin"))
    try:
        robot.report(APPLICATION)
        assert until(lambda: admin.get(f"/devices/{THING}")[1].get("state") == "online", 60)
        yield seed(admin, [THING], GROUP, loose=LOOSE)
    finally:
        robot.close()


def test_the_running_api_is_what_its_document_says(
    platform: Platform, seeds: Mapping[str, Sequence[str]], tmp_path: Path
) -> None:
    token = platform.token("Fleet.Reader", roles=ROLES)

    found = run(platform.api_url, token, seeds, tmp_path / "run", max_time_s=300, options=FEW)

    assert found.against() == []
    assert 2 * len(found.succeeded) >= OPERATIONS
    assert sum(sum(by.values()) for by in found.answers.values()) >= 5 * OPERATIONS
