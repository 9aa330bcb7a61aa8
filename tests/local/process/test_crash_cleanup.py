"""What a killed process left is removed by the next; what a living one has is not touched."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from local.process.children import started
from local.process.crash_cleanup import Remains, clear

pytestmark = pytest.mark.slow

OWNER = """
import pathlib, subprocess, sys
from local.process.crash_cleanup import Remains
records, folder = map(pathlib.Path, sys.argv[1:])
remains = Remains(records)
remains.folder(folder)
folder.mkdir()
(folder / "file").write_text("x")
part = subprocess.Popen(["sleep", "60"], start_new_session=True, stdout=subprocess.DEVNULL)
remains.process(part.pid)
print(part.pid, flush=True)
input()
"""


@pytest.fixture
def paths(tmp_path: Path) -> Sequence[Path]:
    return tmp_path / "records", tmp_path / "of-the-owner"


def owner(paths: Sequence[Path]) -> tuple[subprocess.Popen[bytes], int]:
    command = [sys.executable, "-c", OWNER, *map(str, paths)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    return process, int(process.stdout.readline())


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_the_folder_and_the_process_of_a_killed_owner_are_removed_once(paths: Sequence[Path]) -> None:
    records, folder = paths
    process, part = owner(paths)
    said: list[str] = []
    end(process)
    assert folder.exists()
    assert started(part) is not None

    assert clear(said.append, records) == 1

    assert not folder.exists()
    assert started(part) is None
    assert clear(said.append, records) == 0
    assert len(said) == 1


def test_a_living_owner_is_left_alone(paths: Sequence[Path]) -> None:
    records, folder = paths
    process, part = owner(paths)

    assert clear(folder=records) == 0

    assert folder.exists()
    assert started(part) is not None
    end(process)
    clear(folder=records)


def test_a_process_that_got_the_id_of_an_ended_one_is_not_ended(paths: Sequence[Path]) -> None:
    records, _ = paths
    process, part = owner(paths)
    end(process)
    [record] = records.glob("*.jsonl")
    record.write_text(record.read_text().replace(f'"{started(part)}"', '"1"'))

    clear(folder=records)

    assert started(part) is not None
    subprocess.run(["kill", "-9", str(part)], check=True)


def test_a_fact_that_was_being_written_is_passed_over(paths: Sequence[Path]) -> None:
    records, folder = paths
    records.mkdir(mode=0o700)
    folder.mkdir()
    (records / "dead.jsonl").write_text(f'{{"folder": "{folder}"}}\n{{"folder": "/et')

    clear(folder=records)

    assert not folder.exists()


def test_what_an_owner_closed_in_order_is_not_cleaned_up_again(paths: Sequence[Path]) -> None:
    records, folder = paths
    remains = Remains(records)
    remains.folder(folder)
    folder.mkdir()

    remains.close()
    remains.close()

    assert clear(folder=records) == 0
    assert folder.exists()
    assert not records.exists()


CLAIMER = """
import pathlib, sys
from local.process.crash_cleanup import EngineTaken, Remains
remains = Remains(pathlib.Path(sys.argv[1]))
try:
    remains.claim_engine(sys.argv[2])
except EngineTaken as taken:
    print(taken, flush=True)
else:
    print("claimed", flush=True)
    input()
"""


def claim(records: Path, docker_host: str) -> tuple[subprocess.Popen[str], str]:
    """Claim an engine in a process of its own; returns that process and what it said."""
    command = [sys.executable, "-c", CLAIMER, str(records), docker_host]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_an_engine_is_one_platform_s_until_that_ends(tmp_path: Path) -> None:
    records, socket = tmp_path / "records", tmp_path / "docker.sock"
    socket.touch()
    (tmp_path / "link.sock").symlink_to(socket)

    first, said = claim(records, f"unix://{socket}")
    assert said == "claimed"
    second, refusal = claim(records, f"unix://{tmp_path}/link.sock")
    assert refusal.startswith(f"another platform (process {first.pid}) runs on the Docker Engine at unix://")
    elsewhere, said = claim(records, "tcp://127.0.0.1:2375")
    assert said == "claimed"
    first.kill()
    first.communicate()
    third, said = claim(records, f"unix://{socket}")
    assert said == "claimed"

    for process in (second, elsewhere, third):
        process.kill()
        process.communicate()
