"""Results that the cloud has not acknowledged, and when each is sent again.

A message that the nucleus took is not delivered yet: a nucleus that dies, or a connection that died silently,
loses it. So a result is sent again after each of ACK_WAITS_S, because a silent connection that recovers
causes no hello; and with each hello, ACK_HELLOS times. Then it is given up, so that a cloud that never
acknowledges costs no more. The counts survive a restart, in a file of their own, because agents that do not
know them read the outbox's file.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from edge.defaults import ACK_HELLOS, ACK_WAITS_S
from edge.ports.state import State, StateUnwritable
from edge.storage.state_file import StateFile

FILE = "acknowledgements.json"
JUST_NOW_S = 5.0  # what was said so shortly before a hello is not said again with it
#: Results that have had all their waits and wait for a hello; beyond, the oldest is given up.
HELLO_ONLY_MAX = 100

log = logging.getLogger(__name__)


class _Times(BaseModel):
    """How often one result was sent again."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    waits: int = Field(default=0, ge=0)
    hellos: int = Field(default=0, ge=0)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    said: Mapping[str, _Times] = {}


@dataclass(slots=True)
class _Said:
    """A result that this process handed over."""

    at_s: float
    due_s: float | None  # None: with the next hello only
    cause: str = ""  # what made it due; counted when it is said


class Unacknowledged:
    """The schedule of repeats, by the outbox's keys. All calls come from the loop's thread; none raises."""

    def __init__(self, state: State, kept: Iterable[str]) -> None:
        self._file = StateFile(state, FILE, lambda content: _File.model_validate_json(content).said)
        self._said: dict[str, _Said] = {}  # in the order in which they were handed over first
        self._kept = set(kept)  # by the disk; an earlier process may have said them
        loaded = self._file.read() or {}
        self._times: dict[str, _Times] = {key: loaded[key] for key in self._kept if key in loaded}
        self._on_disk = dict(loaded)

    def is_due(self, key: str, now_s: float) -> bool:
        """Whether a result is to be sent now, for the first time or again."""
        said = self._said.get(key)
        return said is None or (said.due_s is not None and now_s >= said.due_s)

    def due_s(self, key: str) -> float | None:
        """Return when a result is sent again without a hello, on the monotonic clock; 0 if not sent yet."""
        said = self._said.get(key)
        return 0.0 if said is None else said.due_s

    def is_said(self, key: str) -> bool:
        """Whether this process handed it over."""
        return key in self._said

    def hello(self, now_s: float) -> None:
        """Have everything that is not acknowledged sent again: a hello went out."""
        for key, said in self._said.items():
            if now_s - said.at_s > JUST_NOW_S and self._of(key).hellos < ACK_HELLOS:
                said.due_s, said.cause = now_s, "hello"

    def again(self, key: str, now_s: float) -> None:
        """Have the same result sent once more, because the command came again."""
        if (said := self._said.get(key)) is not None:
            said.due_s, said.cause = now_s, "asked"

    def handed_over(self, key: str, now_s: float) -> None:
        """Take note that the nucleus took it."""
        times, said = self._of(key), self._said.get(key)
        if said is None:
            if key in self._kept:  # a start is a hello
                times = times.model_copy(update={"hellos": times.hellos + 1})
        elif said.cause == "hello":
            times = times.model_copy(update={"hellos": times.hellos + 1})
        elif said.cause != "asked":
            times = times.model_copy(update={"waits": times.waits + 1})
        self._kept.discard(key)
        if times != self._of(key):
            self._times[key] = times
        due_s = now_s + ACK_WAITS_S[times.waits] if times.waits < len(ACK_WAITS_S) else None
        self._said[key] = _Said(now_s, due_s)

    def given_up(self) -> tuple[str, ...]:
        """Return the results that are never sent again."""
        waiting = [key for key, said in self._said.items() if said.due_s is None]
        out = [key for key in waiting if self._of(key).hellos >= ACK_HELLOS]
        left = [key for key in waiting if key not in out]
        return (*out, *left[: max(len(left) - HELLO_ONLY_MAX, 0)])

    def forget(self, key: str) -> None:
        """Drop a result: it was acknowledged or given up, or a newer one took its place."""
        self._said.pop(key, None)
        self._times.pop(key, None)
        self._kept.discard(key)

    def keep(self) -> None:
        """Make the disk know how often; costs nothing while everything is acknowledged at once."""
        if self._times == self._on_disk:
            return
        try:
            self._file.write(_File(said=self._times).model_dump_json(exclude_defaults=True).encode())
            self._on_disk = dict(self._times)
        except StateUnwritable as error:
            log.error("how often results were said is not on disk: error=%s", error)

    def _of(self, key: str) -> _Times:
        return self._times.get(key, _Times())
