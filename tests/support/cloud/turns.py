"""Callers that take turns: one runs at a time, and somebody chooses who goes on before every call of a port.

So a race is a list of choices: it can be tried in every order, drawn by a seed, and run again.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

Answer = TypeVar("Answer")
#: Chosen instead of a caller: whoever has begun dies where it is, as a function does whose time is over.
LAPSE = -1


class Died(BaseException):
    """The process ends here; nothing in it may catch this."""


class Turns:
    """``choose`` is given who may go on, the one whose turn it was first, and returns one of them."""

    def __init__(self, choose: Callable[[Sequence[int]], int]) -> None:
        self._choose = choose
        self._mine = threading.local()
        self._parked = threading.Semaphore(0)

    def run(
        self, calls: Sequence[Callable[[], Answer]], lapse: Callable[[], None] | None = None
    ) -> list[Answer | None]:
        """Return what each call returned; None for one that died. ``lapse`` may come once, at any moment."""
        callers = [_Caller(call) for call in calls]
        threads = [threading.Thread(target=self._work, args=(caller,)) for caller in callers]
        last = LAPSE
        while True:
            alive = sorted((n for n, c in enumerate(callers) if not c.ended), key=lambda n: (n != last, n))
            if not alive:
                break
            under_way = any(callers[n].begun for n in alive)
            last = self._choose([*alive, *([LAPSE] if lapse and under_way else [])])
            if last == LAPSE and lapse is not None:
                lapse()
                lapse = None
                for n in alive:
                    if callers[n].begun:
                        callers[n].killed = True
                        self._give_turn(callers[n], threads[n])
            else:
                self._give_turn(callers[last], threads[last])
        for thread in threads:
            thread.join()
        for caller in callers:
            if caller.raised is not None:
                raise caller.raised
        return [caller.answer for caller in callers]

    def between(self, port: Any) -> Any:
        """Return ``port`` with a change of turns before each of its calls."""
        return _Stepped(port, self._step)

    def _give_turn(self, caller: "_Caller", thread: threading.Thread) -> None:
        if caller.begun:
            caller.turn.release()
        else:
            caller.begun = True
            thread.start()
        self._parked.acquire()

    def _work(self, caller: "_Caller") -> None:
        self._mine.caller = caller
        try:
            caller.answer = caller.call()
        except Died:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised where the callers were started
            caller.raised = error
        caller.ended = True
        self._parked.release()

    def _step(self) -> None:
        caller: _Caller | None = getattr(self._mine, "caller", None)
        if caller is None:  # the test itself
            return
        self._parked.release()
        caller.turn.acquire()
        if caller.killed:
            raise Died


def in_every_order(race: Callable[[Turns], None], *, preemptions: int | None = None) -> int:
    """Run ``race`` once for every list of choices, and return how many there are.

    With ``preemptions`` a turn is taken from somebody who could go on only so often in one race.
    """
    path: list[tuple[int, int]] = []  # at each choice, which one of how many
    races = 0
    while True:
        choices = _Choices(path, preemptions)
        race(Turns(choices))
        races += 1
        path = choices.made
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        if not path:
            return races
        which, of = path.pop()
        path.append((which + 1, of))


@dataclass
class _Caller:
    call: Callable[[], Any]
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    begun: bool = False
    killed: bool = False
    ended: bool = False
    answer: Any = None
    raised: BaseException | None = None


@dataclass
class _Choices:
    """Follows ``path``, then takes the first of what there is."""

    path: list[tuple[int, int]]
    preemptions: int | None
    made: list[tuple[int, int]] = field(default_factory=list)
    last: int | None = None

    def __call__(self, options: Sequence[int]) -> int:
        could_go_on = options[0] == self.last
        if could_go_on and self.preemptions == 0:
            options = options[:1]
        number = len(self.made)
        which = self.path[number][0] if number < len(self.path) else 0
        self.made.append((which, len(options)))
        if could_go_on and which and self.preemptions is not None:
            self.preemptions -= 1
        self.last = options[which]
        return self.last


class _Stepped:
    def __init__(self, port: Any, step: Callable[[], None]) -> None:
        self._port, self._step = port, step

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        def stepped(*arguments: Any, **named: Any) -> Any:
            self._step()
            return call(*arguments, **named)

        return stepped
