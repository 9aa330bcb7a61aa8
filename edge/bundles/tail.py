"""The last lines of a stream, on disk: a stream of any length takes three times the bound at most."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO


class Tail:
    """A file with the last lines of what was written, ``max_bytes`` of them at least; ``is_cut``: not all."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self._max_bytes = path, max_bytes
        self._older = path.with_name(path.name + ".older")
        self.is_cut = False

    def write(self, lines: Iterable[str]) -> None:
        """Write all of ``lines``, and keep the last.

        Raises:
            OSError: the disk did not take it.
        """
        file, size = self.path.open("wb"), 0
        try:
            for line in lines:
                content = line.encode("utf-8", "replace") + b"\n"
                if size + len(content) > self._max_bytes and size > 0:
                    file.close()
                    self.is_cut |= self._older.exists()
                    self.path.replace(self._older)
                    file, size = self.path.open("wb"), 0
                file.write(content)
                size += len(content)
        finally:
            file.close()
        self._join()

    def open_last(self, max_bytes: int) -> tuple[BinaryIO, int, bool]:
        """Return the file at the first whole line within its last ``max_bytes``, the bytes from there on, and
        whether lines before it were left out."""
        file = self.path.open("rb")
        size = self.path.stat().st_size
        if size > max_bytes:
            file.seek(size - max_bytes - 1)
            file.readline()
        left = size - file.tell()
        return file, left, self.is_cut or left < size

    def _join(self) -> None:
        """Put what was set aside before the rest again."""
        if not self._older.exists():
            return
        with self._older.open("ab") as whole, self.path.open("rb") as rest:
            while block := rest.read(1 << 16):
                whole.write(block)
        self._older.replace(self.path)
