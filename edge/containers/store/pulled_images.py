"""The agent's bookkeeping of the images it pulled, in one file: nothing else is ever garbage to it."""

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from edge.containers.model.image_gc import Pulled
from edge.storage import atomic_files

log = logging.getLogger(__name__)


class _Entry(BaseModel):
    reference: str
    image: str


class _File(BaseModel):
    v: Literal[1] = 1
    images: list[_Entry] = []


class PulledImages:
    """The images that this agent pulled, oldest first; on disk before a method returns. Any thread may call.

    A file that makes no sense is kept beside the new one, and what it knew of is never collected.
    """

    def __init__(
        self, path: Path, write: Callable[[Path, bytes], None] = atomic_files.write_atomically
    ) -> None:
        self._path, self._store = path, write
        self._lock = threading.Lock()
        self._images = self._load()

    def all(self) -> list[Pulled]:
        """Return every image in the book."""
        with self._lock:
            return [Pulled(reference, image) for reference, image in self._images.items()]

    def add(self, pulled: Pulled) -> None:
        """Take down an image that is about to be pulled; raises OSError when that cannot be written."""
        with self._lock:
            self._write({**self._images, pulled.reference: pulled.image})

    def drop(self, pulled: Pulled) -> None:
        """Take an image out that is not there any more; one too many in the book does no harm."""
        with self._lock, contextlib.suppress(OSError):
            self._write({key: image for key, image in self._images.items() if key != pulled.reference})

    def _write(self, images: dict[str, str]) -> None:
        if images == self._images:
            return
        entries = [_Entry(reference=reference, image=image) for reference, image in images.items()]
        self._store(self._path, _File(images=entries).model_dump_json().encode())
        self._images = images

    def _load(self) -> dict[str, str]:
        try:
            content = atomic_files.read(self._path)
            entries = [] if content is None else _File.model_validate_json(content).images
        except (OSError, ValidationError) as error:
            log.error(
                "bookkeeping of images is unreadable: path=%s error=%s", self._path, type(error).__name__
            )
            with contextlib.suppress(OSError):
                self._path.replace(self._path.with_name(self._path.name + ".unreadable"))
            return {}
        return {entry.reference: entry.image for entry in entries}
