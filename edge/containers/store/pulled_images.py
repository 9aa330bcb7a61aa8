"""Record of the images that the agent pulled, in one file: nothing else is ever removed as garbage."""

import contextlib
import threading
from typing import Literal

from pydantic import BaseModel

from edge.containers.model.image_gc import Pulled
from edge.ports.state import State, StateUnwritable
from edge.storage.state_file import StateFile

FILE = "images.json"


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

    def __init__(self, state: State) -> None:
        self._file = StateFile(state, FILE, _parse)
        self._lock = threading.Lock()
        self._images = self._file.read() or {}

    def all(self) -> list[Pulled]:
        """Return every image in the book."""
        with self._lock:
            return [Pulled(reference, image) for reference, image in self._images.items()]

    def add(self, pulled: Pulled) -> None:
        """Take down an image that is about to be pulled; raises StateUnwritable."""
        with self._lock:
            self._write({**self._images, pulled.reference: pulled.image})

    def drop(self, pulled: Pulled) -> None:
        """Take an image out that is not there any more; one too many in the book does no harm."""
        with self._lock, contextlib.suppress(StateUnwritable):
            self._write({key: image for key, image in self._images.items() if key != pulled.reference})

    def _write(self, images: dict[str, str]) -> None:
        if images == self._images:
            return
        entries = [_Entry(reference=reference, image=image) for reference, image in images.items()]
        self._file.write(_File(images=entries).model_dump_json().encode())
        self._images = images


def _parse(content: bytes) -> dict[str, str]:
    return {entry.reference: entry.image for entry in _File.model_validate_json(content).images}
