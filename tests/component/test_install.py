"""The recipe's scripts and the install step behind them, as a nucleus runs them: with no network."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.packaging.install import stamp
from local.greengrass.nucleus.dialect import DIALECTS, Dialect
from tests.component.scripts import Scripted
from tests.component.small_builds import a_build, a_wheel

pytestmark = pytest.mark.slow

ANYBODY = 65_534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
#: Written into every module that the default component user can put where something might import it.
PLANTED = "import pathlib\npathlib.Path({!r}).write_text('ran')\n"
BAD_SETTINGS = "class Settings:\n    def model_validate(given):\n        given['x']\n"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_build(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_build(tmp_path_factory.mktemp("newer"), edge__more="MORE = 1\n")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, build: Path) -> Scripted:
    """A device where an earlier try was cut short while it unpacked, and one while it made the virtualenv."""
    device = a_device(tmp_path_factory.mktemp("device"))
    device.deploy(build)
    assert device.recipe is not None
    assert device.recipe.install is not None
    [sha256] = {word.strip('"') for word in device.recipe.install.text.split("sha256=")[1].split()[:1]}
    half_unpacked = device.place / "versions" / sha256
    (half_unpacked / "edge").mkdir(parents=True)
    (half_unpacked / "edge" / "__init__.py").write_text("cut sho")
    (device.place / "venvs" / "half-made" / "bin").mkdir(parents=True)
    done = device.install()
    assert (done.returncode, done.stdout) == (0, "install: made and proved this version\n"), done.stderr
    return device


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user gets to; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def a_device(root: Path, **given: Any) -> Scripted:
    device = Scripted(root, anybody=ANYBODY if os.geteuid() == 0 else None, **given)
    device.home.mkdir()
    return device


def a_device_at(root: Path, like: Scripted) -> Scripted:
    return Scripted(root, like.dialect, like.anybody, recipe=like.recipe)


def a_tool(folder: Path, name: str, script: str) -> dict[str, str]:
    """The environment of a machine where a program is ``script``."""
    tool = folder / "tools" / name
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return {"PATH": f"{tool.parent}:{os.environ['PATH']}"}


def times(folder: Path) -> dict[str, int]:
    return {str(p): p.lstat().st_mtime_ns for p in (folder, *folder.rglob("*"))}


def test_what_runs_lies_in_a_folder_of_ours_and_nothing_is_put_into_the_work_folder(
    installed: Scripted,
) -> None:
    done = installed.run()

    name, folder, path, code, environment = json.loads(done.stdout)
    assert name == "some_thing"
    assert folder == str(installed.place / "state")
    assert code == str(installed.version / "edge" / "__main__.py")
    assert path[0] == str(installed.version)
    assert "" not in path
    assert environment["FLEETGRASS_PLACE"] == str(installed.place)
    assert environment["FLEETGRASS_EARLIER"] == str(installed.work)
    assert list(installed.work.iterdir()) == []


def test_what_others_may_read_is_not_the_state(installed: Scripted) -> None:
    assert (installed.place / "state").stat().st_mode & 0o777 == 0o700


def test_nothing_is_done_and_nothing_written_when_nothing_changed(installed: Scripted) -> None:
    before = times(installed.place)

    for shell in ("/bin/sh", *(f"{found} sh" for found in [shutil.which("busybox")] if found)):
        assert installed.install(shell).stdout == "install: nothing changed\n"

    assert times(installed.place) == before


def test_what_was_left_half_made_is_gone(installed: Scripted) -> None:
    assert (installed.version / "edge" / "__init__.py").read_text() == ""
    assert [folder.name for folder in (installed.place / "venvs").iterdir()] == [stamp(installed.version)]


def test_a_link_that_was_lost_is_made_again_without_a_new_virtualenv(installed: Scripted) -> None:
    made = (installed.version / "venv" / ".complete").resolve().stat().st_mtime_ns
    (installed.place / "current").unlink()

    assert installed.install().stdout == "install: nothing changed\n"
    assert (installed.version / "venv" / ".complete").stat().st_mtime_ns == made


def test_a_change_of_the_wheels_asks_for_another_virtualenv(installed: Scripted, tmp_path: Path) -> None:
    changed = tmp_path / "version"
    shutil.copytree(installed.version, changed, symlinks=True)
    a_wheel(changed / "wheels", "another_thing")

    assert stamp(changed) != stamp(installed.version)


def test_both_dialects_mean_the_same_folder(installed: Scripted) -> None:
    places = set()
    for dialect in DIALECTS.values():
        device = Scripted(installed.root, dialect, recipe=installed.recipe)
        places.add(json.loads(device.run().stdout)[1])

    assert places == {str(installed.place / "state")}


def test_the_agent_is_told_the_components_version_by_the_path_of_its_artifact(installed: Scripted) -> None:
    """As no build knows it. Lite ends the path with a slash."""
    told = set()
    for dialect in DIALECTS.values():
        device = Scripted(installed.root, dialect, recipe=installed.recipe)
        told.add(json.loads(device.run().stdout)[4]["FLEETGRASS_VERSION"])

    assert told == {installed.artifacts.name} == {"1.2.3"}


def test_the_version_before_is_kept_and_older_ones_are_removed(
    tmp_path: Path, build: Path, newer: Path
) -> None:
    device, versions = a_device(tmp_path), []
    for each in (build, newer, a_build(tmp_path / "newest", edge__most="MOST = 1\n")):
        device.deploy(each)
        assert device.install().returncode == 0
        versions.append(device.version)

    assert {each.resolve() for each in (device.place / "versions").iterdir()} == set(versions[1:])
    device.deploy(newer)
    assert device.install().stdout == "install: nothing changed\n"
    assert device.version == versions[1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"edge__broken": "import nothing_of_that_name\n"}, "No module named 'nothing_of_that_name'"),
        ({"contract__broken": "1 / 0\n"}, "division by zero"),
        (
            {"edge__configuration__settings": BAD_SETTINGS},
            "KeyError: 'x'",
        ),
        ({"edge__dies": "raise SystemExit(3)\n"}, "ended with 3"),
    ],
)
def test_a_version_that_does_not_work_fails_to_install_and_the_one_before_stays(
    installed: Scripted, tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    device, before = a_device_at(installed.root, installed), installed.version
    device.deploy(a_build(tmp_path / "broken", files={}, **changed))

    done = device.install()

    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert device.version == before
    assert list((device.place / "versions").iterdir()) == [before]
    assert json.loads(installed.run().stdout)[0] == "some_thing"


def test_a_version_whose_virtualenv_cannot_be_made_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    device = a_device(tmp_path)
    files = {"requirements.txt": "another-thing==1.0\n"}
    device.deploy(a_build(tmp_path / "build", files=files))

    assert device.install().returncode == 1

    assert [list((device.place / name).iterdir()) for name in ("versions", "venvs")] == [[], []]


def test_another_python_leaves_the_version_to_go_back_to(tmp_path: Path, build: Path, newer: Path) -> None:
    """``before`` is the version itself then; the stamp says as much as another Python does."""
    device, versions = a_device(tmp_path), []
    for each in (build, newer):
        device.deploy(each)
        assert device.install().returncode == 0
        versions.append(device.version)
    (versions[1] / "venv").unlink()

    assert device.install().stdout == "install: made and proved this version\n"

    assert {each.resolve() for each in (device.place / "versions").iterdir()} == set(versions)


def test_a_version_is_proven_once_and_not_at_every_start(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.touch()
    counting = f"with open({str(count)!r}, 'a') as file:\n    file.write('x')\n"
    device = a_device(tmp_path)
    device.deploy(a_build(tmp_path / "build", edge__counting=counting))

    assert [device.install().returncode for _ in range(3)] == [0, 0, 0]

    assert count.read_text() == "x"


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_nothing_that_the_default_user_can_change_is_run(
    tmp_path: Path, build: Path, dialect: Dialect
) -> None:
    """At a deployment and at a start: modules in the current folder, other code in place of the artifact."""
    device, ran = a_device(tmp_path, dialect=dialect), tmp_path / "ran"
    device.deploy(build)
    planted = PLANTED.format(str(ran))
    for name in ("zipfile", "venv", "hashlib", "pathlib", "edge", "sitecustomize", "some_thing", "encodings"):
        (device.work / f"{name}.py").write_text(planted)
    (device.work / "bin").mkdir()
    (device.work / "venv").symlink_to(device.work)
    (device.work / "bin" / "python").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (device.work / "bin" / "python").chmod(0o755)

    assert device.install().returncode == 0
    (device.artifacts / "agent-amd64.zip").write_bytes(b"another zip")
    assert device.install().stdout == "install: nothing changed\n"
    assert json.loads(device.run().stdout)[0] == "some_thing"

    assert not ran.exists()


def test_an_artifact_that_is_not_the_one_published_is_not_installed(tmp_path: Path, build: Path) -> None:
    device = a_device(tmp_path)
    device.deploy(build)
    with (device.artifacts / "agent-amd64.zip").open("ab") as file:
        file.write(b"more")

    done = device.install()

    assert done.returncode == 1
    assert done.stderr == "install: agent-amd64.zip is not the one that was published\n"
    assert not device.version.exists()
    assert list(device.place.glob("**/*")) == [device.place / "versions"]


def _linked(artifact: Path) -> None:
    secret = artifact.parent / "readable to root alone"
    secret.write_text("secret")
    secret.chmod(0o600)
    artifact.symlink_to(secret)


@pytest.mark.parametrize("put", [_linked, os.mkfifo, os.mkdir])
def test_what_lies_in_place_of_an_artifact_is_neither_copied_nor_waited_for(
    tmp_path: Path, build: Path, put: Callable[[Path], None]
) -> None:
    device = a_device(tmp_path)
    device.deploy(build)
    (device.artifacts / "agent-amd64.zip").unlink()
    put(device.artifacts / "agent-amd64.zip")
    device.environment = a_tool(tmp_path, "timeout", f"touch {tmp_path}/read")

    done = device.install()

    assert done.returncode == 1
    assert not (tmp_path / "read").exists()
    assert done.stderr == "install: agent-amd64.zip is not the one that was published\n"
    assert list(device.place.glob("**/*")) == [device.place / "versions"]


@pytest.mark.parametrize("still_a_file", [True, False])
def test_what_becomes_a_link_after_it_was_looked_at_is_copied_for_roots_eyes_only(
    tmp_path: Path, build: Path, *, still_a_file: bool
) -> None:
    """The race is lost on purpose: ``timeout`` swaps the artifact, and looks at the copy once it is made."""
    device, seen = a_device(tmp_path), tmp_path / "seen"
    device.deploy(build)
    artifact = device.artifacts / "agent-amd64.zip"
    swap = f"ln -sf /etc/hostname {artifact}" if still_a_file else f"rm {artifact}; mkfifo {artifact}"
    look = f"stat -c %a {device.place}/agent.zip > {seen}"
    device.environment = a_tool(
        tmp_path, "timeout", f'{swap}; shift; {shutil.which("timeout")} 0.2 "$@"; {look}'
    )

    done = device.install()

    assert (done.returncode, seen.read_text()) == (1, "600\n")
    assert list(device.place.glob("**/*")) == [device.place / "versions"]


def test_a_copy_that_a_kill_left_behind_is_not_written_to(tmp_path: Path, build: Path) -> None:
    device = a_device(tmp_path)
    device.deploy(build)
    device.place.mkdir()
    (device.place / "agent.zip").write_text("of before")
    (device.place / "agent.zip").chmod(0o644)
    before = (device.place / "agent.zip").open()
    (device.artifacts / "agent-amd64.zip").write_bytes(b"another zip")

    with before:
        assert device.install().returncode == 1
        assert before.read() == "of before"


def test_what_cannot_be_unpacked_leaves_nothing_on_the_disk(tmp_path: Path, build: Path) -> None:
    device = a_device(tmp_path)
    device.deploy(build)
    device.environment = a_tool(tmp_path, "python3", 'for last; do :; done; touch "$last/half"; exit 1')

    assert device.install().returncode == 1

    assert list(device.place.glob("**/*")) == [device.place / "versions"]


def _open_to_all(device: Scripted) -> Path:
    device.home.chmod(0o777)
    return device.home


def _of_another(device: Scripted) -> Path:
    os.chown(device.home, ANYBODY, ANYBODY)
    return device.home


def _through_a_link_of_another(device: Scripted) -> Path:
    device.home.rename(device.root / "elsewhere")
    device.home.symlink_to(device.root / "elsewhere")
    os.chown(device.home, ANYBODY, ANYBODY, follow_symlinks=False)
    return device.home


def _through_a_link_into_what_is_another_users(device: Scripted) -> Path:
    target = device.root / "elsewhere"
    device.home.rename(target)
    device.home.symlink_to(target)
    os.chown(target, ANYBODY, ANYBODY)
    return target


def _through_a_link_in_a_folder_of_another(device: Scripted) -> Path:
    """Neither the name that was given nor the folder without links has it on the way."""
    between = device.root / "between"
    between.mkdir()
    device.home.rename(device.root / "elsewhere")
    (between / "link").symlink_to("../elsewhere")
    device.home.symlink_to("between/link/")
    os.chown(between, ANYBODY, ANYBODY)
    return between


UNSAFE = [
    _open_to_all,
    pytest.param(_of_another, marks=AS_ROOT),
    pytest.param(_through_a_link_of_another, marks=AS_ROOT),
    pytest.param(_through_a_link_into_what_is_another_users, marks=AS_ROOT),
    pytest.param(_through_a_link_in_a_folder_of_another, marks=AS_ROOT),
]


@pytest.mark.parametrize("make_unsafe", UNSAFE)
def test_an_unsafe_folder_is_refused_in_one_line_that_names_it(
    tmp_path: Path, build: Path, make_unsafe: Callable[[Scripted], Path]
) -> None:
    device = a_device(tmp_path)
    device.deploy(build)
    named = make_unsafe(device)

    done = device.install()

    assert done.returncode == 1
    assert f"others may change {named}:" in done.stderr
    assert "FLEETGRASS_HOME" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("links", [1, 30])
def test_links_of_ours_are_no_harm_unless_they_are_without_end(
    tmp_path: Path, build: Path, links: int
) -> None:
    """As few as a device has; more than anybody looks through, each of which the kernel would follow."""
    device = a_device(tmp_path)
    device.deploy(build)
    device.home.rename(tmp_path / "elsewhere")
    for number in range(links):
        (tmp_path / f"part-{number}").symlink_to(".")
    device.home.symlink_to("".join(f"part-{number}/" for number in range(links)) + "elsewhere")

    done = device.install()

    assert done.returncode == (0 if links == 1 else 1), done.stderr


def test_a_relative_home_is_refused_because_the_current_folder_is_another_users(
    tmp_path: Path, build: Path
) -> None:
    device = a_device(tmp_path, environment={"FLEETGRASS_HOME": "somewhere"})
    device.deploy(build)

    done = device.install()

    assert done.returncode == 1
    assert "not an absolute path" in done.stderr


def test_a_folder_that_became_unsafe_is_mended_and_the_installed_version_goes_on(installed: Scripted) -> None:
    installed.place.chmod(0o777)

    done = installed.install()

    assert (done.returncode, done.stdout) == (0, "install: nothing changed\n")
    assert "unsafe-folder" in done.stderr
    assert installed.place.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_somebody_named_is_left_as_it_is_and_said(installed: Scripted) -> None:
    installed.home.chmod(0o777)

    try:
        done = installed.install()
    finally:
        mode = installed.home.stat().st_mode & 0o777
        installed.home.chmod(0o755)

    assert (done.returncode, done.stdout, mode) == (0, "install: nothing changed\n", 0o777)
    assert f"unsafe-folder: {installed.home} may be written by others" in done.stderr


def test_a_sticky_folder_is_left_as_it_is(installed: Scripted) -> None:
    installed.home.chmod(0o1777)

    try:
        done = installed.install()
    finally:
        mode = installed.home.stat().st_mode & 0o7777
        installed.home.chmod(0o755)

    assert (done.stdout, done.stderr, mode) == ("install: nothing changed\n", "", 0o1777)


def test_code_that_others_could_change_is_unpacked_anew(installed: Scripted, build: Path) -> None:
    installed.deploy(build)
    module = installed.version / "edge" / "__init__.py"
    module.write_text("1 / 0\n")
    module.chmod(0o666)

    assert installed.install().returncode == 0

    assert module.read_text() == ""
    assert json.loads(installed.run().stdout)[0] == "some_thing"


def test_a_virtualenv_that_others_could_change_is_made_anew(installed: Scripted) -> None:
    [module] = (installed.version / "venv").resolve().rglob("some_thing.py")
    module.write_text("1 / 0\n")
    module.chmod(0o666)

    assert installed.install().returncode == 0

    assert json.loads(installed.run().stdout)[0] == "some_thing"


@AS_ROOT
def test_an_ordinary_user_has_it_below_its_home(reachable: Path, build: Path) -> None:
    device = Scripted(reachable / "users")
    device.root.mkdir()
    device.deploy(build)
    for place in (device.root, *device.root.rglob("*")):
        os.chown(place, ANYBODY, ANYBODY)
    assert device.recipe is not None
    text = device.recipe.install.text.replace("{work:path}", str(device.work))  # type: ignore[union-attr]
    text = text.replace("{artifacts:path}", str(device.artifacts))

    done = subprocess.run(
        ["/bin/sh", "-c", text],
        cwd=device.work,
        env={"PATH": os.environ["PATH"], "HOME": str(device.root)},
        user=ANYBODY,
        group=ANYBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert [each.name for each in (device.root / ".local/state/fleetgrass").glob("*/*")].count("current") == 1
