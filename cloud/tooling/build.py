"""The Lambdas' zip: our code, the contract, and their dependencies as wheels of the target's platform.

Where this Python is the target's, bytecode is in it too: cold starts take less than half the time. The
same inputs give the same bytes. Caches in the build folder: vendored wheels by what was asked for,
bytecode by its source, and the zip by everything that is in it.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cloud.tooling.bytecode import compiled

ROOT = Path(__file__).resolve().parents[2]

#: botocore describes every service of AWS (100 MB); the functions call these.
SERVICES = ("dynamodb", "ecr", "greengrassv2", "iot", "iot-data", "s3", "sqs")

_PLATFORMS = {"x86_64": "x86_64", "arm64": "aarch64"}
_SOURCES = ("cloud", "contract")
_FILES = ("docs/openapi.json",)  # what a function answers as it is
_NOT_SHIPPED = ("cloud/tooling", "cloud/__main__.py")
_NOT_NEEDED = ("boto3/examples", "bin")
_INSTALLERS_OWN = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
_FORMAT = 1  # of the zip; a change of how it is made makes another zip


class BuildFailed(Exception):
    """The zip could not be made; the text says why."""

    code = "build-failed"


@dataclass(frozen=True, slots=True)
class Target:
    """What the code must run on: a Lambda runtime's Python (``3.13``) and ``arm64`` or ``x86_64``."""

    python_version: str
    architecture: str

    def __post_init__(self) -> None:
        if self.architecture not in _PLATFORMS:
            raise BuildFailed(f'architecture: "{self.architecture}" is neither arm64 nor x86_64')
        parts = self.python_version.split(".")
        if len(parts) != 2 or not all(part.isdigit() for part in parts):
            raise BuildFailed(f'python: "{self.python_version}" is not a version like 3.13')


#: Puts what is asked for into a folder, as it must be for the target.
Install = Callable[[Target, list[str], Path], None]


def build(
    target: Target, *, root: Path = ROOT, build_folder: Path | None = None, install: Install | None = None
) -> Path:
    """Return the zip for ``target``, ``{build}/lambda-{hash}.zip``; made only when an input changed.

    Raises:
        BuildFailed: pip found no wheel, or there is no network for a first build.
    """
    folder = build_folder or root / "build"
    folder.mkdir(parents=True, exist_ok=True)
    vendored = _vendor(target, requirements(root), folder, install or pip_install)
    entries = dict([*_sources(root), *_vendored_files(vendored)])
    if target.python_version == f"{sys.version_info.major}.{sys.version_info.minor}":
        entries |= compiled({n: path for n, path in entries.items() if n.endswith(".py")}, folder)
    entries = dict(sorted(entries.items()))
    inputs = hashlib.sha256(f"{_FORMAT}\n".encode())
    for name, path in entries.items():
        inputs.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    archive = folder / f"lambda-{inputs.hexdigest()[:32]}.zip"
    if not archive.exists():
        _write_zip(archive, entries)
    return archive


def requirements(root: Path = ROOT) -> list[str]:
    """Return what the functions depend on: the ``cloud`` extra of pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return sorted(project["optional-dependencies"]["cloud"])


def pip_install(target: Target, wanted: list[str], into: Path) -> None:
    """Install wheels for ``target``, whatever this machine is.

    Raises:
        BuildFailed: with pip's reason.
    """
    machine = _PLATFORMS[target.architecture]  # manylinux2014: every Lambda runtime has that glibc
    outcome = subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-compile", "--only-binary=:all:", "--implementation", "cp",
            "--python-version", target.python_version, "--platform", f"manylinux2014_{machine}",
            "--target", str(into), *wanted,
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if outcome.returncode != 0:
        lines = [line for line in outcome.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[0] if lines else outcome.stderr.strip()[-500:]
        raise BuildFailed(f"pip could not fetch the functions' dependencies: {reason}")


def _vendor(target: Target, wanted: list[str], folder: Path, install: Install) -> Path:
    """Return a folder with the dependencies installed for ``target``."""
    asked = "\n".join([target.python_version, target.architecture, *wanted])
    vendored = folder / f"vendored-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"
    if vendored.is_dir():
        return vendored
    with tempfile.TemporaryDirectory(dir=folder, prefix="vendoring-") as scratch:
        into = Path(scratch) / "site"
        install(target, wanted, into)
        try:
            into.rename(vendored)
        except OSError:
            if not vendored.is_dir():  # else another build was faster; its folder is as good
                raise
    return vendored


def _sources(root: Path) -> Iterator[tuple[str, Path]]:
    for package in _SOURCES:
        for path in (root / package).rglob("*.py"):
            name = path.relative_to(root).as_posix()
            if not _below(name, _NOT_SHIPPED):
                yield name, path
    for name in _FILES:
        yield name, root / name


def _vendored_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        parts = PurePosixPath(name).parts
        if not path.is_file() or "__pycache__" in parts or _below(name, _NOT_NEEDED):
            continue
        if parts[0].endswith(".dist-info") and parts[-1] in _INSTALLERS_OWN:
            continue  # they differ from one installation to the next
        described = parts[:2] == ("botocore", "data") and len(parts) > 3
        if not described or parts[2] in SERVICES:
            yield name, path


def _below(name: str, folders: tuple[str, ...]) -> bool:
    return any(name == folder or name.startswith(f"{folder}/") for folder in folders)


def _write_zip(archive: Path, entries: dict[str, Path]) -> None:
    """Write ``archive`` whole or not at all, without times, owners or the file system's order."""
    handle, scratch = tempfile.mkstemp(dir=archive.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, path in entries.items():
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3  # Unix, whatever builds it
                entry.external_attr = (0o755 if path.suffix == ".so" else 0o644) << 16
                zipped.writestr(entry, path.read_bytes())
        Path(scratch).chmod(0o644)
        Path(scratch).rename(archive)
    finally:
        Path(scratch).unlink(missing_ok=True)
