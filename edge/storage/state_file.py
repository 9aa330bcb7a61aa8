"""A value kept in one file of ``State``: read at a start, written whole. One policy for a broken file."""

from collections.abc import Callable
from typing import Generic, TypeVar

from edge.ports.state import State, StateUnreadable

Value = TypeVar("Value")


class StateFile(Generic[Value]):
    """One file and how its bytes become a value.

    A file that cannot be read, or makes no sense, is set aside for a person to look at, logged, and counts
    as none: its owner begins with what it has without one, and says in its docstring what that costs.
    """

    def __init__(self, state: State, name: str, parse: Callable[[bytes], Value]) -> None:
        """``parse`` raises ValueError (a ``pydantic.ValidationError`` is one) where bytes are no value."""
        self._state, self._name, self._parse = state, name, parse
        self.was_broken = False  # whether the latest read set one aside

    def read(self) -> Value | None:
        """Return what was written last; None where there is none, or none that makes sense."""
        self.was_broken = False
        try:
            content = self._state.read(self._name)
            return None if content is None else self._parse(content)
        except StateUnreadable as error:
            reason = str(error)
        except ValueError as error:
            reason = type(error).__name__  # its text may repeat what the file holds
        self.was_broken = True
        self._state.set_aside(self._name, reason)
        return None

    def write(self, content: bytes) -> None:
        """Replace it, durably before this returns.

        Raises:
            StateUnwritable: it still holds what it held.
        """
        self._state.write(self._name, content)
