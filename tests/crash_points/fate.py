"""What kills an agent: everything it does to the outside is an act, and it can die at any of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from edge.ports.engine import Engine


class Killed(BaseException):
    """The agent's process died here."""


When = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Moment:
    """The ``at``-th act from now, counted from 1; of those called ``act``, if that is given."""

    at: int
    when: When
    act: str | None = None


@dataclass
class Fate:
    """Counts the acts of a device's agents, and ends one at the moment it was told."""

    acts: list[str] = field(default_factory=list)
    watch: Callable[[str], None] = lambda act: None  # told after each act
    _end: Moment | None = None
    _counted_from: int = 0

    def kill(self, moment: Moment) -> None:
        """Let the process die at ``moment``, once."""
        self._end, self._counted_from = moment, len(self.acts)

    def spare(self) -> None:
        """Let it live, if it has not died yet."""
        self._end = None

    @contextmanager
    def act(self, what: str) -> Iterator[None]:
        """Be killed before or after the act, if this is its moment."""
        self.acts.append(what)
        end = self._end if self._is_now(what) else None
        if end is not None:
            self._end = None
            if end.when == "before":
                raise Killed(f"before {what}")
        try:
            yield
        finally:  # an act that was answered with an error has happened too
            self.watch(what)
            if end is not None:
                raise Killed(f"after {what}")

    def _is_now(self, what: str) -> bool:
        if self._end is None or self._end.act not in (None, what):
            return False
        since = self.acts[self._counted_from :]
        return self._end.at == len([act for act in since if self._end.act in (None, act)])


def mortal(engine: Engine, fate: Fate) -> Engine:
    """Return the engine with every call an act, whatever calls the port has."""
    return cast("Engine", _Mortal(engine, fate))


class _Mortal:
    def __init__(self, engine: Engine, fate: Fate) -> None:
        self._engine, self._fate = engine, fate

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._engine, name)
        # What the engine is gets remembered per connection: no request, so no place to die.
        if not callable(attribute) or name == "information":
            return attribute

        def call(*arguments: Any, **named: Any) -> Any:
            with self._fate.act(name):
                return attribute(*arguments, **named)

        return call


@dataclass(frozen=True, slots=True)
class MortalDisk:
    """Writes files whole or not at all, as the real one does, each write an act; no fsync to wait for."""

    fate: Fate

    def __call__(self, path: Path, content: bytes) -> None:
        with self.fate.act(f"write {path.name}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
