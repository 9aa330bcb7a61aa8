"""A reboot within this process: stop the applications, ask the machine, wait for it to go down.

Knows no ledger: whoever calls ``begin`` has written down that it does, so that no other process of this
boot asks the machine a second time.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future

from edge.defaults import REBOOT_STOP_S
from edge.ports.clock import Clock
from edge.ports.machine import Machine, MachineError
from edge.text import clip

MESSAGE_BYTES = 400

log = logging.getLogger(__name__)


class Rebooting:
    """At most one reboot at a time. All calls come from the loop's thread, and none waits for a container.

    ``stop_all`` begins to stop the applications and returns what is done when they are.
    """

    def __init__(
        self, *, machine: Machine, clock: Clock, stop_all: Callable[[], "Future[None]"], grace_s: float
    ) -> None:
        self._machine = machine
        self._clock = clock
        self._stop_all = stop_all
        self._grace_s = grace_s
        self._stopping: Future[None] | None = None
        self._ask_at_s = 0.0  # the machine, whether all have stopped by then or not
        self._give_up_at_s: float | None = None
        self._call_error = ""

    def begin(self) -> None:
        """Stop the applications; ``tick`` asks the machine once they have, or REBOOT_STOP_S have passed."""
        self._call_error = ""
        self._ask_at_s = self._clock.monotonic() + REBOOT_STOP_S
        try:
            self._stopping = self._stop_all()
        except Exception:  # a reboot may be what helps; the log has the answer
            log.exception("applications cannot be stopped before the reboot")
            self._stopping = Future()
            self._stopping.set_result(None)

    def resume(self) -> None:
        """Wait, for a whole grace period, for what an earlier process of this boot began."""
        self._give_up_at_s = self._clock.monotonic() + self._grace_s

    def over(self) -> None:
        """Wait no longer: the machine did reboot."""
        self._give_up_at_s = None

    def tick(self) -> str | None:
        """Do what is due. Return why there was no reboot, once that is certain: then it is over."""
        now_s = self._clock.monotonic()
        if self._stopping is not None and (self._stopping.done() or now_s >= self._ask_at_s):
            if not self._stopping.done():
                log.warning("applications have not stopped, the reboot goes on: waited_s=%g", REBOOT_STOP_S)
            elif (error := self._stopping.exception()) is not None:
                log.error("applications may not have stopped, the reboot goes on", exc_info=error)
            self._stopping = None
            self._ask()
        if self._give_up_at_s is None or now_s < self._give_up_at_s:
            return None
        self._give_up_at_s = None
        return self._call_error or f"the machine was still up after {self._grace_s:g} s"

    def next_due_s(self) -> float | None:
        """Return when ``tick`` has something to do without any event, on the monotonic clock."""
        return self._give_up_at_s if self._stopping is None else self._ask_at_s

    def _ask(self) -> None:
        log.info("the machine is asked to reboot")
        try:
            self._machine.reboot()
        except MachineError as error:
            self._call_error = clip(str(error), MESSAGE_BYTES)
            log.error("reboot call failed: error=%s", self._call_error)
        self._give_up_at_s = self._clock.monotonic() + self._grace_s
