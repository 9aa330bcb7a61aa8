"""The settings that a start goes by: the nucleus' or, without it, those of an earlier process.

An agent whose nucleus is broken goes on supervising its containers. One that never had a configuration from a
nucleus has nothing to supervise, and does not know what it may do: it waits.
"""

from collections.abc import Callable
from typing import Protocol

from edge.configuration.kept_settings import KeptSettings
from edge.configuration.settings import Checks, Reading, read_settings
from edge.link.patience import Patience
from edge.ports.link import Link, LinkDown, LinkError

#: A nucleus that has just started this process is there within some seconds; its configuration is newer.
TRIES = 3


class FirstLink(Link, Protocol):
    """A link that is not connected yet."""

    def connect(self) -> None:
        """Connect, and wait until it is done.

        Raises:
            LinkDown: no nucleus listens; or TokenRefused, where the token is no good.
        """


def first_settings(
    link: FirstLink, kept: KeptSettings, checks: Checks, patience: Patience, sleep: Callable[[float], None]
) -> tuple[Reading, bool]:
    """Return the settings, and whether the link is connected.

    Raises:
        LinkGone: end the process, so that the nucleus starts it with a new token.
    """
    while True:
        try:
            link.connect()
            return read_settings(link, kept.settings, checks), True
        except LinkError as error:
            link.close()
            wait_s = patience.after(error if isinstance(error, LinkDown) else LinkDown(str(error)))
        if kept.found and patience.tries >= TRIES:
            return Reading(kept.settings, {}), False
        sleep(wait_s)
