from pathlib import Path

import pytest

from edge.storage.state import StateFolder
from edge.storage.state_file import StateFile


def a_file(folder: Path) -> StateFile[int]:
    return StateFile(StateFolder(folder), "count.json", int)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    a_file(tmp_path).write(b"7")
    assert a_file(tmp_path).read() == 7


def test_without_a_file_there_is_no_value_and_nothing_broken(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    assert (file.read(), file.was_broken) == (None, False)


def test_what_makes_no_sense_is_set_aside_and_counts_as_none_until_it_is_written_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "count.json").write_bytes(b"seven")
    file = a_file(tmp_path)

    assert (file.read(), file.was_broken) == (None, True)

    assert (tmp_path / "count.json.unreadable").read_bytes() == b"seven"
    assert "count.json" in caplog.text
    file.write(b"8")
    assert (file.read(), file.was_broken) == (8, False)


def test_what_the_disk_does_not_give_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "count.json").mkdir()
    file = a_file(tmp_path)
    assert (file.read(), file.was_broken) == (None, True)
