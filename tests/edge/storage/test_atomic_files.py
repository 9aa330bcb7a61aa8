"""Files that are whole at every moment."""

from pathlib import Path

import pytest

from edge.storage import atomic_files


def test_what_was_written_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new-folder" / "facts.json"

    atomic_files.write_atomically(path, b"one")
    atomic_files.write_atomically(path, b"two")

    assert atomic_files.read(path) == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["facts.json"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_written_reads_as_none(tmp_path: Path) -> None:
    assert atomic_files.read(tmp_path / "facts.json") is None


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    atomic_files.write_atomically(path, b"old")
    (tmp_path / "facts.json.new").mkdir()  # nothing can be written there

    with pytest.raises(OSError, match="directory"):
        atomic_files.write_atomically(path, b"new")

    assert atomic_files.read(path) == b"old"


def test_a_temporary_file_left_by_a_crash_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    (tmp_path / "facts.json.new").write_bytes(b"half of someth")

    atomic_files.write_atomically(path, b"whole")

    assert atomic_files.read(path) == b"whole"
