"""Engine events: a container ended or changed its health, over a stream that may die in silence."""

import logging
import threading
from collections.abc import Callable

from edge.ports.engine import Engine
from edge.ports.engine_errors import EngineError

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 5.0  # while the engine is down: as often as anybody looks without events

log = logging.getLogger(__name__)


class Listening:
    """Calls ``on_change`` whenever the engine's containers of ``thing`` may look different: look again.

    That is after each change, and each time the stream is up again, because events before that were
    missed. So nothing depends on the stream: without it changes are only seen later. ``on_change`` is
    called from a thread of its own; ``wait`` waits so many seconds and returns whether to end.
    """

    def __init__(
        self,
        engine: Engine,
        thing: str,
        on_change: Callable[[], None],
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._engine, self._thing, self._on_change = engine, thing, on_change
        self._over = threading.Event()
        self._wait = wait or self._over.wait

    def start(self) -> threading.Thread:
        """Listen from now on, in a daemon thread that this returns."""
        thread = threading.Thread(target=self.run, name="listen", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Listen no more, from the next change or silence on."""
        self._over.set()

    def run(self) -> None:
        """Listen until closed, again and again."""
        wait_s = FIRST_WAIT_S
        while not self._over.is_set():
            try:
                with self._engine.listen(self._thing) as changes:
                    wait_s = FIRST_WAIT_S
                    self._on_change()
                    for change in changes:
                        log.debug("engine event: event=%s", change)
                        self._on_change()
                        if self._over.is_set():
                            return
            except EngineError as error:
                log.debug("engine cannot be listened to: code=%s wait_s=%.1f", error.code, wait_s)
            except Exception:  # otherwise no event would ever be received again; the log has the error
                log.exception("listening to the engine failed inside the agent")
            if self._wait(wait_s):
                return
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
