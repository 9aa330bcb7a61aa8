"""Asynchronous Lambda invocations as AWS makes them: queued, retried twice, then given up for good.

The emulator starts an unbounded thread per message and tries once. This module knows neither the
emulator nor Lambda: it is given what to call.
"""

import heapq
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Call = TypeVar("Call")


class Outcome(Enum):
    """The result of one attempt."""

    DONE = "done"
    FAILED = "failed"  # the function raised, timed out, or is not there
    THROTTLED = "throttled"  # not started: does not count as an attempt


class QueueFull(Exception):
    """There is no room for another invocation; whoever sent it is told."""


@dataclass(order=True, slots=True)
class _Pending(Generic[Call]):
    due: float
    number: int
    call: Call = field(compare=False)
    attempt: int = field(compare=False, default=0)


class AsynchronousInvokes(Generic[Call]):
    """A bounded queue of calls with a few workers; ``put`` never blocks.

    ``invoke`` makes one attempt, ``give_up`` is called once for a call whose last attempt failed.
    Both run on a worker's thread. ``retry_delays_s`` has one entry per retry.
    """

    def __init__(
        self,
        invoke: Callable[[Call], Outcome],
        give_up: Callable[[Call], None],
        *,
        capacity: int = 10_000,
        workers: int = 4,
        retry_delays_s: Sequence[float] = (1.0, 2.0),
        throttle_delay_s: float = 1.0,
    ) -> None:
        self._invoke = invoke
        self._give_up = give_up
        self._capacity = capacity
        self._retry_delays_s = tuple(retry_delays_s)
        self._throttle_delay_s = throttle_delay_s
        self._pending: list[_Pending[Call]] = []
        self._count = 0
        self._closed = False
        self._changed = threading.Condition()
        for number in range(workers):
            threading.Thread(target=self._work, name=f"asynchronous-invoke-{number}", daemon=True).start()

    def put(self, call: Call) -> None:
        """Queue a call.

        Raises:
            QueueFull: ``capacity`` calls wait already.
        """
        with self._changed:
            if len(self._pending) >= self._capacity:
                raise QueueFull(f"{self._capacity} asynchronous invocations wait already")
            self._push(call, delay_s=0.0, attempt=0)

    def close(self) -> None:
        """Start no further attempt; what waits is forgotten."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _push(self, call: Call, *, delay_s: float, attempt: int) -> None:
        self._count += 1
        heapq.heappush(self._pending, _Pending(time.monotonic() + delay_s, self._count, call, attempt))
        self._changed.notify()

    def _work(self) -> None:
        while (pending := self._next()) is not None:
            try:
                outcome = self._invoke(pending.call)
            except Exception:  # a worker outlives any one call; the call counts as failed
                log.exception("asynchronous invocation broke")
                outcome = Outcome.FAILED
            self._settle(pending, outcome)

    def _next(self) -> _Pending[Call] | None:
        with self._changed:
            while not self._closed:
                wait_s = self._pending[0].due - time.monotonic() if self._pending else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._pending)
                self._changed.wait(wait_s)
            return None

    def _settle(self, pending: _Pending[Call], outcome: Outcome) -> None:
        match outcome:
            case Outcome.DONE:
                return
            case Outcome.THROTTLED:
                with self._changed:
                    self._push(pending.call, delay_s=self._throttle_delay_s, attempt=pending.attempt)
            case Outcome.FAILED if pending.attempt < len(self._retry_delays_s):
                with self._changed:
                    delay_s = self._retry_delays_s[pending.attempt]
                    self._push(pending.call, delay_s=delay_s, attempt=pending.attempt + 1)
            case Outcome.FAILED:
                try:
                    self._give_up(pending.call)
                except Exception:  # as above
                    log.exception("giving up an asynchronous invocation broke")
