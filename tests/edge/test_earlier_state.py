import json
import os
from pathlib import Path

import pytest

from edge import earlier_state
from edge.commands.commands import FILE as COMMANDS
from edge.containers.reconciler import MEMORY_FILE, PULLED_FILE, ROTATIONS_FILE
from edge.desired import FILE as DESIRED
from edge.earlier_state import FILES, TAKEN, take_over
from edge.outbox import FILE as OUTBOX


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text(f"of {name}")
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def test_every_file_that_the_agent_goes_on_from_is_taken_over() -> None:
    assert {DESIRED, COMMANDS, OUTBOX, MEMORY_FILE, PULLED_FILE, ROTATIONS_FILE} <= set(FILES)


def test_what_is_there_is_copied_and_stays_for_a_rollback(earlier: Path, state: Path) -> None:
    take_over(earlier, state)

    for name in FILES:
        assert (state / name).read_text() == (earlier / name).read_text() == f"of {name}"
        assert (state / name).stat().st_mode & 0o777 == 0o600


def test_a_new_epoch_begins_so_that_a_rollback_can_go_on_in_its_own(earlier: Path, state: Path) -> None:
    (earlier / "sequence.json").write_text(json.dumps({"epoch": "e", "below": 64}))

    take_over(earlier, state)

    assert not (state / "sequence.json").exists()


def test_it_is_done_once(earlier: Path, state: Path) -> None:
    take_over(earlier, state)
    (state / COMMANDS).unlink()
    (earlier / COMMANDS).write_text("forged later")

    take_over(earlier, state)

    assert not (state / COMMANDS).exists()


def test_a_new_device_has_nothing_to_take_over_and_never_looks_again(tmp_path: Path, state: Path) -> None:
    (tmp_path / "new").mkdir()
    take_over(tmp_path / "new", state)

    assert [file.name for file in state.iterdir()] == [TAKEN]


def test_a_kill_in_between_is_gone_on_from(earlier: Path, state: Path) -> None:
    (state / DESIRED).write_text("copied before the kill")

    take_over(earlier, state)

    assert (state / DESIRED).read_text() == "copied before the kill"
    assert (state / COMMANDS).read_text() == f"of {COMMANDS}"


def test_no_link_is_followed_and_nothing_but_a_file_is_read(
    earlier: Path, state: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of another")
    for name in FILES[:3]:
        (earlier / name).unlink()
    (earlier / FILES[0]).symlink_to(secret)
    (earlier / FILES[1]).mkdir()
    os.mkfifo(earlier / FILES[2])

    take_over(earlier, state)

    assert {file.name for file in state.iterdir()} == {*FILES[3:], TAKEN}
    assert sum(record.levelname == "ERROR" for record in caplog.records) == 3


def test_a_folder_that_is_a_link_is_not_followed(earlier: Path, state: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(earlier)

    take_over(tmp_path / "link", state)

    assert [file.name for file in state.iterdir()] == [TAKEN]


def test_a_file_without_end_is_left(earlier: Path, state: Path) -> None:
    with (earlier / OUTBOX).open("wb") as file:
        file.truncate(earlier_state.MAX_BYTES + 1)

    take_over(earlier, state)

    assert not (state / OUTBOX).exists()
    assert (state / TAKEN).exists()


def test_a_disk_that_takes_nothing_is_tried_again_at_the_next_start(earlier: Path, state: Path) -> None:
    (state / f"{OUTBOX}.new").mkdir()  # so that the file cannot be written
    take_over(earlier, state)
    assert not (state / TAKEN).exists()
    (state / f"{OUTBOX}.new").rmdir()

    take_over(earlier, state)

    assert (state / OUTBOX).read_text() == f"of {OUTBOX}"
    assert (state / TAKEN).exists()
