"""Narration of the demo: each line is a claim, checked before it is printed."""

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from rich.console import Console
from rich.markup import escape

T = TypeVar("T")


class Untrue(Exception):
    """A claim of the story does not hold; the text says which and what was found instead."""


class Story:
    """Prints chapters and checked claims with the time each took.

    ``simulated`` is appended to every claim about containers, so that no reader takes a simulated
    container for a real one.
    """

    def __init__(
        self,
        console: Console,
        *,
        simulated: bool,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._console = console
        self._mark = " [yellow](simulated containers)[/yellow]" if simulated else ""
        self._monotonic = monotonic
        self._sleep = sleep
        self._started = monotonic()
        self.claims = 0

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._console.print(f"\n[bold]{title}[/bold]")

    def note(self, text: str) -> None:
        """Say what is going on; claims nothing."""
        self._console.print(f"  [dim]{text}[/dim]", highlight=False)

    def claim(
        self, truth: str, holds: bool, otherwise: str = "it is not so", *, containers: bool = False
    ) -> None:
        """Print ``truth`` when it ``holds``.

        Raises:
            Untrue: it does not; the message carries ``otherwise``.
        """
        if not holds:
            raise Untrue(f"{truth}: {otherwise}")
        self.claims += 1
        at = self._monotonic() - self._started
        mark = self._mark if containers else ""
        self._console.print(f"  [green]✓[/green] {truth}{mark} [dim]{at:5.1f} s[/dim]", highlight=False)

    def eventually(
        self,
        truth: str,
        look: Callable[[], tuple[T | None, str]],
        *,
        within_s: float,
        every_s: float = 0.2,
        containers: bool = False,
        why: Callable[[], Iterable[str]] = tuple,
    ) -> T:
        """Look until there is something to see, then print ``truth`` and return what was seen.

        ``look`` answers ``(seen, "")`` or ``(None, what is there instead)``; the latter is shown
        while waiting and is the reason when the time is up. Then ``why`` is asked too, and each line of its
        answer printed.

        Raises:
            Untrue: nothing within ``within_s`` seconds.
        """
        deadline = self._monotonic() + within_s
        with self._console.status(truth) as status:
            while True:
                seen, instead = look()
                if seen is not None:
                    break
                if self._monotonic() > deadline:
                    for line in why():
                        self._console.print(f"  [red]why[/red] {escape(line)}", highlight=False)
                    raise Untrue(f"{truth}: not within {within_s:.0f} s; {instead}")
                status.update(f"{truth} … {instead}")
                self._sleep(every_s)
        self.claim(truth, True, containers=containers)
        return seen
