"""Background work: calls that run in workers, and the taking in of what has come of them."""

import logging
import traceback
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from typing import Generic, TypeVar

from edge.ports.coded_error import CodedError
from edge.ports.workers import Workers

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")
Event = TypeVar("Event")

log = logging.getLogger(__name__)


class Background(Generic[Key, Result]):
    """Calls under way, at most one a key; one thread owns it, and takes in what has ended when it likes.

    ``ended`` is called from workers: there is something to take in.
    """

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._calls: dict[Key, Future[Result]] = {}

    @property
    def running(self) -> Mapping[Key, "Future[Result]"]:
        """The calls that have begun, or wait for a worker, and were not taken in."""
        return self._calls

    def start(self, key: Key, workers: Workers, call: Callable[[], Result]) -> bool:
        """Hand ``call`` to a worker, unless one is under way for ``key``; return whether it has ended.

        Raises RuntimeError where no worker can be had.
        """
        if key in self._calls:
            return False
        self._calls[key] = future = workers.submit(call)
        future.add_done_callback(lambda _: self._ended())
        return future.done()

    def finished(self) -> list[tuple[Key, "Future[Result]"]]:
        """Take in, and return, every call that ended since the last time: its future is done."""
        done = [(key, future) for key, future in self._calls.items() if future.done()]
        for key, _ in done:
            del self._calls[key]
        return done

    def cancel(self, key: Key) -> "Future[Result] | None":
        """Take a call back that has not begun; return the future of one that has."""
        if self._calls[key].cancel():
            del self._calls[key]
            return None
        return self._calls[key]


def run_and_deliver(
    workers: Workers,
    what: str,
    call: Callable[[], Event],
    deliver: Callable[[Event], None],
    failed: Callable[[str, str], Event],
) -> None:
    """Deliver what ``call`` returns, from a worker; always delivers one event.

    What it raises is delivered as ``failed(code, message)``: a CodedError's own, else ``internal-error`` (a
    fault of ours: logged without the error's words, which may hold an address that opens something), and
    ``no-thread`` where the machine has no thread or memory for it.
    """

    def run() -> None:
        try:
            event = call()
        except CodedError as error:
            event = failed(error.code, str(error))
        except Exception as error:  # noqa: BLE001 - otherwise whoever asked would wait for ever
            place = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s failed inside the agent: error=%s\n%s", what, type(error).__name__, place)
            event = failed("internal-error", type(error).__name__)
        deliver(event)

    try:
        workers.submit(run)
    except RuntimeError as error:
        log.warning("%s cannot begin: error=%s", what, error)
        deliver(failed("no-thread", str(error)))
