"""Files that are whole at every moment."""

from pathlib import Path

import pytest

from edge import storage


def test_what_was_written_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new-folder" / "facts.json"

    storage.write_atomically(path, b"one")
    storage.write_atomically(path, b"two")

    assert storage.read(path) == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["facts.json"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_written_reads_as_none(tmp_path: Path) -> None:
    assert storage.read(tmp_path / "facts.json") is None


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    storage.write_atomically(path, b"old")
    (tmp_path / "facts.json.new").mkdir()  # nothing can be written there

    with pytest.raises(OSError, match="directory"):
        storage.write_atomically(path, b"new")

    assert storage.read(path) == b"old"


def test_a_temporary_file_left_by_a_crash_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    (tmp_path / "facts.json.new").write_bytes(b"half of someth")

    storage.write_atomically(path, b"whole")

    assert storage.read(path) == b"whole"
