import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.commands.commands import FILE as COMMANDS
from edge.containers.store.pulled_images import FILE as PULLED_FILE
from edge.containers.store.secret_rotations import FILE as ROTATIONS_FILE
from edge.containers.store.trials import FILE as MEMORY_FILE
from edge.desired.desired_document import FILE as DESIRED
from edge.ports.state import StateUnreadable
from edge.reporting.outbox import FILE as OUTBOX
from edge.startup import earlier_state
from edge.startup.earlier_state import FILES, LEFT, LOST, TAKEN, take_over
from edge.startup.own_folder import take


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
        assert (state / name).read_text() == f"of {name}"
        assert name == COMMANDS or (earlier / name).read_text() == f"of {name}"
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

    assert "forged" not in (state / COMMANDS).read_text()


def test_a_new_device_has_nothing_to_take_over_and_never_looks_again(tmp_path: Path, state: Path) -> None:
    (tmp_path / "new").mkdir()
    take_over(tmp_path / "new", state)

    assert {file.name for file in state.iterdir()} == {TAKEN, LEFT}


def test_a_kill_in_between_is_gone_on_from(earlier: Path, state: Path) -> None:
    (state / OUTBOX).write_text("copied before the kill")

    take_over(earlier, state)

    assert (state / OUTBOX).read_text() == "copied before the kill"
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

    assert {file.name for file in state.iterdir()} == {*FILES[3:], COMMANDS, TAKEN}
    assert (state / COMMANDS).read_bytes() == LOST  # whatever was done may be asked for again
    assert sum(record.levelname == "ERROR" for record in caplog.records) == 4
    assert secret.read_text() == "of another"


@pytest.mark.parametrize("put", [Path.symlink_to, lambda place, _: place.write_text("a file")])
def test_what_is_in_place_of_the_folder_is_not_followed_and_is_no_new_device(
    earlier: Path,
    state: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    put: Callable[[Path, Path], object],
) -> None:
    place = tmp_path / "put"
    put(place, earlier)

    take_over(place, state)
    take_over(place, state)

    assert [file.name for file in state.iterdir()] == [COMMANDS]
    assert (state / COMMANDS).read_bytes() == LOST
    assert f"folder={place}" in caplog.text

    place.unlink()
    earlier.rename(place)
    take_over(place, state)

    assert (state / COMMANDS).read_text() == f"of {COMMANDS}"
    assert (state / TAKEN).exists()


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


@pytest.fixture
def full(state: Path) -> Path:
    """What is in the way of the ledger, as a full disk would be."""
    place = state / f"{COMMANDS}.new"
    place.mkdir()
    return place


def test_a_ledger_that_the_disk_does_not_take_is_lost_until_it_is_taken_over(
    earlier: Path, state: Path, full: Path
) -> None:
    assert not take_over(earlier, state)
    assert (state / OUTBOX).exists()
    assert not (state / TAKEN).exists()

    full.rmdir()
    (state / COMMANDS).write_bytes(LOST)  # by the agent, once the disk took something

    assert take_over(earlier, state)
    assert (state / COMMANDS).read_text() == f"of {COMMANDS}"
    assert (state / TAKEN).exists()


def test_a_lost_ledger_that_judged_commands_meanwhile_stays(earlier: Path, state: Path, full: Path) -> None:
    take_over(earlier, state)
    full.rmdir()
    (state / COMMANDS).write_text("judged since")

    assert take_over(earlier, state)

    assert (state / COMMANDS).read_text() == "judged since"


def test_nothing_is_taken_for_an_empty_ledger_while_the_earlier_one_is_not_had(
    earlier: Path, state: Path, full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(state)
    own = take({"FLEETGRASS_EARLIER": str(earlier)}).state()

    with pytest.raises(StateUnreadable):
        own.read(COMMANDS)

    full.rmdir()
    own.write(COMMANDS, LOST)
    assert own.read(COMMANDS) == LOST
