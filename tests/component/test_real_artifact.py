"""The artifact with its real wheels; the network, or the cache of an earlier build, is needed."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from contract.names import COMPONENT
from edge.packaging.build import build
from edge.packaging.install import SUPPORTED
from edge.version import AGENT_VERSION

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.platform


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("real") / "greengrass-build", ["amd64"])[0]


def test_the_agent_imports_from_the_artifact_alone(built: Path, tmp_path: Path) -> None:
    artifact, work = tmp_path / "agent-amd64", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(built) as archive:
        archive.extractall(artifact)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(artifact), "AWS_REGION": "eu-west-1"}
    subprocess.run(
        [sys.executable, artifact / "edge/packaging/install.py", work], env=environment, check=True
    )
    code = (
        "import importlib, pathlib, pkgutil, edge, boto3\n"
        "for module in pkgutil.walk_packages(edge.__path__, 'edge.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "importlib.util.find_spec('edge.__main__')\n"
        "for service in ('ecr', 's3', 'sts'): boto3.client(service, region_name='eu-west-1')\n"
        "print(edge.__file__)\n"
    )

    done = subprocess.run(
        [work / "venv" / "bin" / "python", "-c", code],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(artifact / "edge" / "__init__.py")


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


def test_gdk_itself_builds_the_same(built: Path, tmp_path: Path) -> None:
    gdk = shutil.which("gdk")
    if gdk is None:
        pytest.skip("the Greengrass Development Kit CLI is not on PyPI and not on this machine's PATH")
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    shutil.copytree(ROOT / "build" / "wheels", checkout / "build" / "wheels")

    subprocess.run([gdk, "component", "build"], cwd=checkout, check=True)

    made = checkout / "greengrass-build" / "artifacts" / COMPONENT / AGENT_VERSION / "agent-amd64.zip"
    assert made.read_bytes() == built.read_bytes()
