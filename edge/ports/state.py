"""Port to the agent's files, each whole at every moment, and what to do with a broken one."""

from typing import Protocol


class StateUnreadable(Exception):
    """There is a file, and it cannot be read."""

    code = "state-unreadable"


class StateUnwritable(Exception):
    """The disk did not take a file: full, read-only or broken. What was there before is still there."""

    code = "state-unwritable"


class State(Protocol):
    """Named files that survive a kill at any moment."""

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None when there is none.

        Raises:
            StateUnreadable: there is one, and it cannot be read.
        """

    def write(self, name: str, content: bytes) -> None:
        """Replace a file, durably before it returns.

        Raises:
            StateUnwritable: it still holds what it held.
        """

    def set_aside(self, name: str, reason: str) -> None:
        """Keep a file that makes no sense under another name for a person to look at, and log it.

        A file that can be read stays in place as well: whoever owns it writes a new one over it, and
        a kill in between finds the broken one again rather than none.
        """
