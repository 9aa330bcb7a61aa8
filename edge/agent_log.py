"""The agent's own log: two small files in its folder, kept across its restarts."""

import logging
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

FILE = "agent.log"
MAX_BYTES = 1 << 20  # of each of the two


class _Kept(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """A disk that takes no log is no reason to say so on every line; the nucleus has them all."""


def keep_log(folder: Path, form: str) -> None:
    """Keep what is logged from now on; never fails, because a device with a full disk must come online."""
    handler = _Kept(folder / FILE, maxBytes=MAX_BYTES, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter(form))
    logging.getLogger().addHandler(handler)


def lines(folder: Path) -> Iterator[str]:
    """Yield what is kept, oldest first; what cannot be read is left out."""
    for name in (f"{FILE}.1", FILE):
        try:
            with (folder / name).open(encoding="utf-8", errors="replace") as file:
                yield from (line.rstrip("\n") for line in file)
        except OSError:
            continue
