"""The install step, as the nucleus runs it: one process each time, with no network."""

import shutil
import subprocess
import sys
from pathlib import Path

import pip
import pytest

from edge.packaging.archive import write_zip
from edge.packaging.install import stamp

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def a_wheel(folder: Path, name: str) -> None:
    """Write a wheel that really installs: one module that knows its own name."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": f"NAME = {name!r}\n".encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    write_zip(folder / f"{name}-1.0-py3-none-any.whl", files)


def pip_of_this_machine(folder: Path) -> None:
    """Write the pip that runs here as the wheel an artifact brings along."""
    package = Path(pip.__file__).parent
    files = {
        str(file.relative_to(package.parent)): file.read_bytes()
        for file in package.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    write_zip(folder / f"pip-{pip.__version__}-py3-none-any.whl", files)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A device with the artifact unpacked, where a first try to install was cut short, then one was not."""
    device = tmp_path_factory.mktemp("device")
    shutil.copytree(ROOT / "edge" / "packaging", device / "artifact" / "edge" / "packaging")
    a_wheel(device / "artifact" / "wheels", "some_thing")
    pip_of_this_machine(device / "artifact" / "wheels")
    (device / "artifact" / "requirements.txt").write_text("some-thing==1.0\n")
    half_made = device / "work" / "venvs" / stamp(device / "artifact")
    (half_made / "bin").mkdir(parents=True)
    (half_made / "bin" / "python").write_text("cut sho")
    (device / "work" / "venvs" / "of-an-older-artifact").mkdir()
    assert install(device) == "install: made the virtualenv"
    return device


def install(device: Path) -> str:
    script = device / "artifact" / "edge" / "packaging" / "install.py"
    done = subprocess.run(
        [sys.executable, str(script), f"{device / 'work'}/"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def runs(device: Path) -> str:
    python = (device / "work" / "venv").resolve() / "bin" / "python"
    code = "import some_thing; print(some_thing.NAME)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_virtualenv_left_half_made_is_remade_and_has_the_wheels(device: Path) -> None:
    assert runs(device) == "some_thing"


def test_nothing_is_done_when_nothing_changed(device: Path) -> None:
    made = (device / "work" / "venv").stat().st_mtime_ns

    assert install(device) == "install: nothing changed"
    assert (device / "work" / "venv").stat().st_mtime_ns == made


def test_a_link_that_was_lost_is_made_again_without_a_new_virtualenv(device: Path) -> None:
    (device / "work" / "venv").unlink()

    assert install(device) == "install: nothing changed"
    assert runs(device) == "some_thing"


def test_a_change_of_the_wheels_asks_for_another_virtualenv(device: Path, tmp_path: Path) -> None:
    changed = tmp_path / "artifact"
    shutil.copytree(device / "artifact", changed)
    a_wheel(changed / "wheels", "another_thing")

    assert stamp(changed) != stamp(device / "artifact")


def test_folders_that_nothing_runs_from_are_removed(device: Path) -> None:
    assert [f.name for f in (device / "work" / "venvs").iterdir()] == [stamp(device / "artifact")]
