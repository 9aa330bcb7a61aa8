"""The wheels an artifact carries: every requirement, binary, for each Python a device may have.

One resolution fixes the versions; then each wheel that is not pure is fetched for each architecture and
Python (a wheel for the stable ABI serves them all). What was fetched is kept in a cache folder, so only
the first build, or a changed requirement, needs the network. Runs on the standard library and pip.

pip judges environment markers by the Python that runs it, whatever ``--python-version`` says; so this
must run on the oldest Python that is supported, or a newer one with no marker between them.
"""

import contextlib
import csv
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.packaging.archive import write_zip
from edge.packaging.install import SUPPORTED

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
ARCHITECTURES = tuple(_MACHINES)
#: glibc 2.17 and older builds only: what runs on any Linux of the last ten years.
_PLATFORMS = (
    "manylinux2014",
    "manylinux_2_17",
    "manylinux_2_12",
    "manylinux2010",
    "manylinux_2_5",
    "manylinux1",
)
#: botocore describes some 400 services in 16 MB; the agent's child process speaks to these.
AWS_SERVICES = ("ecr", "s3", "secretsmanager", "ssm", "sts")
#: Comes along to install the others: a device then needs neither python3-pip nor python3-venv of its system.
INSTALLER = "pip>=25,<27"
_TRIMMED = "1fleetgrass"  # the build tag of a wheel that we took something out of (PEP 427)


class WheelsUnavailable(Exception):
    """pip could not give a wheel; the message has its last lines."""


def collect(requirements: Sequence[str], architecture: str, cache: Path) -> list[Path]:
    """Return the wheels for ``architecture`` and pip's own; fetched when the cache does not have them.

    Raises:
        WheelsUnavailable: no network, or a requirement without a wheel for some Python.
    """
    meaning = "\n".join(
        [*sorted(requirements), INSTALLER, *AWS_SERVICES, str(SUPPORTED), __doc__ or "", _TRIMMED]
    )
    key = hashlib.sha256(meaning.encode()).hexdigest()[:16]
    resolved = _once(cache / f"resolved-{key}", lambda folder: _resolve([*requirements, INSTALLER], folder))
    chosen = _once(cache / f"{architecture}-{key}", lambda folder: _fetch(resolved, architecture, folder))
    return sorted(chosen.glob("*.whl"))


def pinned(wheels: Sequence[Path]) -> list[str]:
    """Return ``name==version`` of every distribution that the agent needs, once each, by name."""
    return sorted({_pin(wheel) for wheel in wheels if not wheel.name.startswith("pip-")})


def _once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return ``folder``, filled; a fill that was cut short counts for nothing, two at once do no harm."""
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".filling-") as scratch:
        filled = Path(scratch, "filled")
        filled.mkdir()
        fill(filled)
        try:
            filled.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    return folder


def _resolve(requirements: Sequence[str], folder: Path) -> None:
    """Fetch one wheel of each distribution, a pure one where there is one: slower, and serves all."""
    _download(requirements, folder, _target("amd64", SUPPORTED[0]))
    for wheel in [wheel for wheel in folder.glob("*.whl") if not _is_pure(wheel)]:
        with contextlib.suppress(WheelsUnavailable):
            anywhere = ["--platform", "any", "--implementation", "py", "--abi", "none"]
            _download(["--no-deps", _pin(wheel)], folder, anywhere)
            wheel.unlink()


def _fetch(resolved: Path, architecture: str, folder: Path) -> None:
    wheels = sorted(resolved.glob("*.whl"))
    for wheel in filter(_is_pure, wheels):
        if wheel.name.startswith("botocore-"):
            _trim(wheel, folder)
        else:
            shutil.copy(wheel, folder)
    compiled = [wheel for wheel in wheels if not _is_pure(wheel)]
    for python in SUPPORTED:
        wanted = [_pin(w) for w in compiled if "-abi3-" not in w.name or python == SUPPORTED[0]]
        if wanted:
            _download(["--no-deps", *wanted], folder, _target(architecture, python))


def _target(architecture: str, python: tuple[int, int]) -> list[str]:
    version = "{}{}".format(*python)
    platforms = [f"{name}_{_MACHINES[architecture]}" for name in _PLATFORMS]
    arguments = ["--python-version", version, "--implementation", "cp"]
    for abi in (f"cp{version}", "abi3", "none"):
        arguments += ["--abi", abi]
    for platform in platforms:
        arguments += ["--platform", platform]
    return arguments


def _download(what: Sequence[str], folder: Path, target: Sequence[str]) -> None:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--only-binary", ":all:", "--dest", str(folder), *target, *what,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WheelsUnavailable("pip: " + " | ".join(done.stderr.strip().splitlines()[-3:]))


def _pin(wheel: Path) -> str:
    name, version = wheel.name.split("-")[:2]
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


def _is_pure(wheel: Path) -> bool:
    return wheel.name.endswith("-none-any.whl")


def _trim(wheel: Path, folder: Path) -> None:
    """Write botocore's wheel to ``folder`` without the descriptions of services the agent never calls."""
    dropped = re.compile(r"botocore/data/(?!(?:{})/)[^/]+/".format("|".join(AWS_SERVICES)))
    with zipfile.ZipFile(wheel) as source:
        files = {name: source.read(name) for name in source.namelist() if not dropped.match(name)}
    [record] = [name for name in files if name.endswith(".dist-info/RECORD")]
    [tags] = [name for name in files if name.endswith(".dist-info/WHEEL")]
    files[tags] += f"Build: {_TRIMMED}\n".encode()
    rows = [
        row for row in csv.reader(io.StringIO(files[record].decode())) if row[0] in files and row[0] != tags
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*rows, [tags, "", ""]])
    files[record] = text.getvalue().encode()
    name, version, rest = wheel.name.split("-", 2)
    write_zip(folder / f"{name}-{version}-{_TRIMMED}-{rest}", files)
