"""The last good settings, on disk: used instead of a configured value that cannot be used."""

import logging

from pydantic import JsonValue, TypeAdapter

from edge.configuration.settings import DEFAULTS, Reading, Settings, parse_settings
from edge.ports.state import State, StateUnwritable
from edge.storage.state_file import StateFile

FILE = "settings.json"
_VALUES: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])

log = logging.getLogger(__name__)


class KeptSettings:
    """The last good value of every key. A file that is lost or broken costs only this."""

    def __init__(self, state: State) -> None:
        self._file = StateFile(state, FILE, _VALUES.validate_json)
        self.found = True  # whether an earlier process has kept any
        self.settings = self._load()

    def keep(self, settings: Settings) -> None:
        """Have this and the next process fall back on these; written when they differ from what is there."""
        if settings == self.settings:
            return
        self.settings = settings
        try:
            self._file.write(settings.model_dump_json().encode())
        except StateUnwritable as error:
            log.error("settings are not on disk: error=%s", error)

    def _load(self) -> Settings:
        values = self._file.read()
        self.found = values is not None
        return DEFAULTS if values is None else parse_settings(values).settings


def say(reading: Reading) -> None:
    """Log every key that is not taken from the configuration."""
    for key, why in reading.unusable.items():
        kept = "default" if getattr(reading.settings, key) == getattr(DEFAULTS, key) else "last good value"
        log.error("configuration is not usable: %s; instead=%s", why, kept)
