"""The artifact with its real wheels; the network, or the cache of an earlier build, is needed."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edge.packaging.build import build
from edge.packaging.install import SUPPORTED
from tests.component.scripts import Scripted

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.platform


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("real") / "greengrass-build", ["amd64"])[0]


def test_the_agent_is_proven_and_runs_from_the_artifact_alone(built: Path, tmp_path: Path) -> None:
    device = Scripted(tmp_path, environment={"AWS_REGION": "eu-west-1"})
    device.home.mkdir()
    device.deploy(built.parents[3])

    done = device.install()
    assert (done.returncode, done.stdout) == (0, "install: made and proved this version\n"), done.stderr

    code = (
        "import edge, boto3\n"
        "for service in ('ecr', 's3', 'sts'): boto3.client(service, region_name='eu-west-1')\n"
        "print(edge.__file__)\n"
    )
    python = (device.version / "venv").resolve() / "bin" / "python"
    environment = {"PYTHONPATH": str(device.version), "PYTHONSAFEPATH": "1"}
    found = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == str(device.version / "edge" / "__init__.py")
    started = device.run()
    assert (started.returncode, "AWS_IOT_THING_NAME" in started.stdout) == (2, True), started.stderr


def test_every_supported_python_finds_all_its_wheels_in_the_artifact(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--dry-run",
        "--no-index",
        "--only-binary",
        ":all:",
    ]
    for python in SUPPORTED:
        version = "{}.{}".format(*python)
        subprocess.run(
            [
                *(*pip, "--python-version", version, "--platform", "manylinux2014_x86_64"),
                *("--find-links", tmp_path / "wheels", "--requirement", tmp_path / "requirements.txt"),
                *("--target", tmp_path / version),
            ],
            env={"PATH": os.environ["PATH"]},
            check=True,
        )
