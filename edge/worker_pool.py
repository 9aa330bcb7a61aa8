"""Worker threads for long tasks; daemons, so that a pull in flight never holds up the agent's end."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from edge.ports.workers import Result


class Threads:
    """At most ``bound`` calls at a time, in order; threads begin when they are first needed."""

    def __init__(self, name: str, bound: int) -> None:
        self._name, self._bound = name, bound
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._unfinished = 0

    def submit(self, call: Callable[[], Result], /) -> "Future[Result]":
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                self._finished()
                return
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - whoever holds the future gets the answer
                self._finished()
                future.set_exception(error)
            else:
                self._finished()
                future.set_result(result)

        with self._lock:
            if len(self._threads) < min(self._bound, self._unfinished + 1):
                self._begin_thread()
            self._unfinished += 1
        self._calls.put(run)
        return future

    def close(self) -> None:
        for _ in self._threads:
            self._calls.put(None)

    def _begin_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # a machine out of threads or memory: the others do it, where there are any
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def _finished(self) -> None:
        with self._lock:
            self._unfinished -= 1

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
