"""The Greengrass Development Kit itself: builds what `make component` builds, publishes it as README says."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.names import COMPONENT
from local.aws.account import REGION
from local.demo.api_client import Api
from local.platform import Platform
from local.process.children import ROOT
from tests.support.platform.lab import until

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

_BUILT = f"greengrass-build/artifacts/{COMPONENT}/NEXT_PATCH"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that gdk has built; it shares the wheels that were fetched for this checkout."""
    gdk = shutil.which("gdk")
    if gdk is None:
        pytest.skip("the Greengrass Development Kit CLI is not on PyPI and not on this machine's PATH")
    folder = tmp_path_factory.mktemp("gdk") / "checkout"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    (ROOT / "build").mkdir(exist_ok=True)
    (folder / "build").symlink_to(ROOT / "build")
    subprocess.run([gdk, "component", "build"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def platform(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of its own, because what is published here is the newest agent for everybody on it."""
    with Platform.start(
        tmp_path_factory.mktemp("gdk-platform") / "it", engine="memory", sources=checkout
    ) as it:
        yield it


def publishes(platform: Platform, checkout: Path, **changed: str) -> "subprocess.CompletedProcess[str]":
    """Run README's line as it is typed, with the publisher's own key."""
    [line] = re.findall(r"^gdk component publish .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    given = {"BUCKET": platform.outputs["Bucket"], "AWS_DEFAULT_REGION": REGION} | changed
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        **platform.environment("publisher"),
    }
    return subprocess.run(
        ["sh", "-c", line],
        cwd=checkout,
        env=environment | given,
        capture_output=True,
        text=True,
        check=False,
    )


def test_gdk_builds_the_same(checkout: Path, tmp_path: Path) -> None:
    build = ["python3", "edge/packaging/build.py", "--output", str(tmp_path / "ours")]
    subprocess.run(build, cwd=checkout, check=True)

    ours = tmp_path / "ours" / "artifacts" / COMPONENT / "NEXT_PATCH"
    assert sorted(path.name for path in ours.iterdir()) == ["agent-amd64.zip", "agent-arm64.zip"]
    for artifact in ours.iterdir():
        assert (checkout / _BUILT / artifact.name).read_bytes() == artifact.read_bytes()


def test_each_publish_makes_the_next_version_and_devices_report_the_one_that_they_run(
    platform: Platform, checkout: Path
) -> None:
    reader = Api(platform.api_url, platform.token("Fleet.Reader"))

    def versions() -> set[object]:
        return {device.get("agent_version") for device in reader.get("/devices")[1]["devices"]}

    assert until(lambda: versions() == {"1.0.0"}, 90), versions()  # the platform published that one
    for version in ("1.0.1", "1.0.2"):
        done = publishes(platform, checkout)
        assert done.returncode == 0, done.stderr
        recipe = checkout / "greengrass-build" / "recipes" / f"{COMPONENT}-{version}.yaml"
        assert f"s3://{platform.outputs['Bucket']}/{COMPONENT}/{version}/agent-" in recipe.read_text()

    assert platform.upgrade_agent("line-3") == "1.0.2"

    assert until(lambda: versions() == {"1.0.2"}, 90), versions()


def test_gdk_cannot_publish_where_devices_could_not_read_it(platform: Platform, checkout: Path) -> None:
    done = publishes(platform, checkout, BUCKET="another-bucket")

    assert done.returncode != 0
    assert "AccessDenied" in done.stderr
    assert "Created private version" not in done.stderr
