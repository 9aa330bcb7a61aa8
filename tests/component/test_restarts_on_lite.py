"""Since 2.6.0 Lite restarts the agent for each new desired document, and installs before, beside the old one.

So that step has to cost nothing: what it starts and writes is counted, by Python's own audit events.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.greengrass.nucleus.dialect import LITE
from tests.component.scripts import Scripted
from tests.component.small_builds import a_build

pytestmark = pytest.mark.slow

#: Runs the file that it is given, and says each process that is started and each file that is changed.
_WATCHER = """
import os, runpy, sys
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.utime"}
STARTS = {"subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork", "os.system"}
def watch(event, args):
    if event in STARTS | CHANGES or (event == "open" and args[2] & WRITES):
        os.write(2, f"seen: {event} {args[:2]}\\n".encode())
sys.addaudithook(watch)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def watched(device: Scripted, folder: Path) -> list[str]:
    """Run the install step as the nucleus does, and return what its Python started and wrote."""
    folder.mkdir(exist_ok=True)
    (folder / "watcher.py").write_text(_WATCHER)
    shim = folder / "python3"
    shim.write_text(
        f'#!/bin/sh\ncase "$2" in */install.py) exec {sys.executable} -I {folder}/watcher.py "$2";; '
        f'*) echo "seen: python3 $*" >&2; exec {sys.executable} "$@";; esac\n'
    )
    shim.chmod(0o755)
    device.environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    done = device.install()
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("seen: ")]


def content(folder: Path) -> dict[str, tuple[int, int]]:
    """Of every file below: when it was changed, and which one it is."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        stat = path.lstat()
        found[str(path)] = (stat.st_mtime_ns, stat.st_ino)
    return found


def test_for_a_new_document_install_starts_no_process_and_writes_nothing_while_the_old_agent_runs(
    tmp_path: Path,
) -> None:
    device = Scripted(tmp_path / "device", dialect=LITE)
    device.home.mkdir(parents=True)
    device.deploy(a_build(tmp_path / "build"))
    first = watched(device, tmp_path / "bin")
    assert any("pip" in line for line in first)  # that is how it looks when there is something to do
    assert any("open" in line for line in first)
    python = shutil.which("python", path=str((device.version / "venv").resolve() / "bin"))
    assert python is not None
    before, work = content(device.home), content(device.work)

    for _ in range(3):
        with subprocess.Popen(
            [python, "-c", "import some_thing; input()"], stdin=subprocess.PIPE, cwd=device.place / "state"
        ) as old:
            assert watched(device, tmp_path / "bin") == []
            assert old.poll() is None
            old.communicate(b"\n")
        assert device.run().returncode == 0

    assert content(device.home) == before
    assert content(device.work) == work
