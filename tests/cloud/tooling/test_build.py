"""The Lambdas' zip: complete, the same bytes for the same inputs, and nothing of the tooling in it."""

import os
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cloud.auth.routes import PUBLIC_ROUTES, ROUTES
from cloud.tooling import build
from cloud.tooling.build import BuildFailed, Target
from cloud.tooling.template import modules

pytestmark = pytest.mark.slow

MACHINE = "arm64" if platform.machine() == "aarch64" else "x86_64"
HERE = Target(f"{sys.version_info.major}.{sys.version_info.minor}", MACHINE)
HANDLERS = sorted(
    modules()[name]
    for name in {r.operation for r in ROUTES.values()}
    | set(PUBLIC_ROUTES.values())
    | {"advance-group-reboot", "authorize", "record-connection", "record-report", "sweep"}
)
IMPORT_ALL = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
compiled = []
def hook(event, arguments):
    if event == "compile" and str(arguments[1]).startswith(sys.argv[1]):
        compiled.append(arguments[1])
sys.addaudithook(hook)
for name in sys.argv[2:]:
    assert callable(importlib.import_module(name).handler), name
outside = [p for p in sys.path[1:] if "site-packages" in p]
assert not outside, outside
assert not compiled, compiled
print("ok")
"""


@pytest.fixture(scope="module")
def archive() -> Path:
    """The zip for this Python and machine; kept in build/, where it is made once."""
    return build.build(HERE)


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(folder)
    return folder


def test_every_handler_is_imported_from_the_zip_alone(unpacked: Path) -> None:
    outcome = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IMPORT_ALL, str(unpacked), *HANDLERS],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )

    assert outcome.stdout == "ok\n", outcome.stderr


def test_the_authorizer_loads_no_boto3(unpacked: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import cloud.functions.system.authorize; "
        "print('boto3' in sys.modules)"
    )

    outcome = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(unpacked)], capture_output=True, text=True, check=True
    )

    assert outcome.stdout == "False\n"


def test_the_api_s_description_is_answered_from_the_zip_alone(unpacked: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from cloud.functions.system.get_openapi import handler; sys.stdout.write(handler({}, None)['body'])"
    )

    outcome = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(unpacked)], capture_output=True, check=True, cwd="/"
    )

    assert outcome.stdout == (build.ROOT / "docs" / "openapi.json").read_bytes()


def _installed(target: Target, wanted: list[str], into: Path) -> None:
    """Two distributions, as pip leaves them: with files that differ from one installation to the next."""
    for name in ("zeta", "alpha"):
        (into / name / "__pycache__").mkdir(parents=True)
        (into / name / "__init__.py").write_text(f"# {target.python_version} {wanted}\n")
        (into / name / "__pycache__" / "x.pyc").write_bytes(os.urandom(8))
        (into / f"{name}-1.dist-info").mkdir()
        (into / f"{name}-1.dist-info" / "METADATA").write_text("Version: 1\n")
        (into / f"{name}-1.dist-info" / "RECORD").write_bytes(os.urandom(8))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in (
        *("cloud/clock.py", "cloud/tooling/build.py", "cloud/__main__.py", "contract/names.py"),
        "docs/openapi.json",
    ):
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    (tmp_path / "checkout" / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[project.optional-dependencies]\ncloud = ["zeta", "alpha"]\n'
    )
    return tmp_path / "checkout"


def test_the_same_inputs_give_the_same_bytes(checkout: Path, tmp_path: Path) -> None:
    first = build.build(HERE, root=checkout, build_folder=tmp_path / "1", install=_installed)
    os.utime(checkout / "cloud" / "clock.py", (1, 1))
    (checkout / "cloud" / "clock.py").chmod(0o600)

    second = build.build(HERE, root=checkout, build_folder=tmp_path / "2", install=_installed)

    assert second.name == first.name
    assert second.read_bytes() == first.read_bytes()


def test_another_source_dependency_or_target_is_another_zip(checkout: Path, tmp_path: Path) -> None:
    def name(target: Target = HERE) -> str:
        return build.build(target, root=checkout, build_folder=tmp_path, install=_installed).name

    names = [name(), name(Target("3.9", MACHINE))]
    (checkout / "cloud" / "clock.py").write_text("# changed\n")
    names.append(name())
    project = (checkout / "pyproject.toml").read_text()
    (checkout / "pyproject.toml").write_text(project.replace('"alpha"', '"beta"'))
    names.append(name())

    assert len(set(names)) == len(names)


def test_bytecode_is_shipped_for_this_python_only(checkout: Path, tmp_path: Path) -> None:
    def bytecode(target: Target) -> list[str]:
        archive = build.build(target, root=checkout, build_folder=tmp_path, install=_installed)
        with zipfile.ZipFile(archive) as zipped:
            return [name for name in zipped.namelist() if name.endswith(".pyc")]

    here = f".{sys.implementation.cache_tag}.pyc"
    assert f"cloud/__pycache__/clock{here}" in bytecode(HERE)
    assert all(name.endswith(here) for name in bytecode(HERE))
    assert bytecode(Target("3.9", MACHINE)) == []


def test_a_source_that_does_not_compile_is_shipped_as_it_is(checkout: Path, tmp_path: Path) -> None:
    (checkout / "cloud" / "clock.py").write_text("print 'two'\n")

    archive = build.build(HERE, root=checkout, build_folder=tmp_path, install=_installed)

    with zipfile.ZipFile(archive) as zipped:
        assert [name for name in zipped.namelist() if "clock" in name] == ["cloud/clock.py"]


def test_the_dependencies_are_fetched_once_and_code_is_packed_again(checkout: Path, tmp_path: Path) -> None:
    fetched: list[Target] = []

    def install(target: Target, wanted: list[str], into: Path) -> None:
        fetched.append(target)
        _installed(target, wanted, into)

    for text in ("# one\n", "# two\n"):
        (checkout / "cloud" / "clock.py").write_text(text)
        build.build(HERE, root=checkout, build_folder=tmp_path, install=install)

    assert fetched == [HERE]


def test_neither_the_tooling_nor_other_services_are_shipped(archive: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        names = zipped.namelist()
        assert {entry.date_time for entry in zipped.infolist()} == {(1980, 1, 1, 0, 0, 0)}

    assert not [
        n for n in names if n.startswith(("cloud/tooling", "cloud/__main__", "edge", "local", "tests"))
    ]
    described = {n.split("/")[2] for n in names if n.startswith("botocore/data/") and n.count("/") > 2}
    assert described == set(build.SERVICES)
    assert names == sorted(names)


def test_every_service_that_the_functions_call_is_described_in_the_zip() -> None:
    called: set[str] = set()
    for folder in ("aws", "functions"):
        for path in (build.ROOT / "cloud" / folder).glob("*.py"):
            called |= set(re.findall(r'\bclient\(\s*"([a-z0-9-]+)"', path.read_text()))

    assert called <= set(build.SERVICES)


@pytest.mark.parametrize(
    ("python", "architecture", "named"),
    [("3.13", "mips", "mips"), ("python3.13", "arm64", "python3.13"), ("3", "arm64", '"3"')],
)
def test_a_target_that_no_lambda_has_is_refused(python: str, architecture: str, named: str) -> None:
    with pytest.raises(BuildFailed, match=named):
        Target(python, architecture)


def test_a_dependency_that_cannot_be_had_is_said_in_one_line(tmp_path: Path) -> None:
    for package in ("cloud", "contract"):
        (tmp_path / package).mkdir()
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[project.optional-dependencies]\ncloud = ["./no-such-thing"]\n'
    )

    with pytest.raises(BuildFailed, match="dependencies") as refused:
        build.build(HERE, root=tmp_path, build_folder=tmp_path / "build")

    assert "\n" not in str(refused.value)
    assert not list((tmp_path / "build").iterdir())
