"""Restart record: how often this agent has ended itself to get a new token, on disk.

Both nuclei give up a component that ends three times within an hour, and do not start it again. An agent
that receives nothing but supervises its containers is better: so at most ENDS_MAX ends within the hour.
"""

import logging
from datetime import timedelta

from pydantic import BaseModel, ConfigDict

from contract.wire import Utc
from edge.ports.clock import Clock
from edge.ports.state import State, StateUnwritable
from edge.storage.state_file import StateFile

FILE = "endings.json"
ENDS_MAX = 2
WINDOW = timedelta(hours=1)

log = logging.getLogger(__name__)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    ends: tuple[Utc, ...] = ()  # by the device's own clock, oldest first


class Endings:
    """The ends within the last hour. All calls come from the loop's thread; none raises."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._file = StateFile(state, FILE, _File.model_validate_json)
        self._clock = clock

    def may_end(self, *, early: bool) -> bool:
        """Return whether one more is allowed, and count it; what no disk can count may not be ``early``."""
        now = self._clock.now()
        recent = tuple(at for at in (self._file.read() or _File()).ends if abs(now - at) < WINDOW)
        if len(recent) >= ENDS_MAX:
            return False
        try:
            self._file.write(_File(ends=(*recent, now)).model_dump_json().encode())
        except StateUnwritable as error:
            log.error("the agent's end cannot be counted: error=%s", error)
            return not early
        return True
