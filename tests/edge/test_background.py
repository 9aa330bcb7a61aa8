"""Background calls: one a key, taken in once each, and an event for whatever becomes of one."""

import logging
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from edge.background import Background, run_and_deliver
from edge.ports.coded_error import CodedError
from edge.ports.workers import Result
from edge.worker_pool import Threads
from tests.support.edge.containers import Inline, Later


def test_a_key_has_one_call_at_a_time_and_each_is_taken_in_once() -> None:
    workers, ends = Later(), [0]
    background: Background[str, int] = Background(lambda: ends.append(1))

    assert not background.start("a", workers, lambda: 1)
    assert not background.start("a", workers, lambda: 2)
    assert not background.start("b", workers, lambda: 3)
    assert list(background.running) == ["a", "b"]
    assert background.finished() == []

    workers.let_go()

    assert sum(ends) == 2
    assert [(key, call.result()) for key, call in background.finished()] == [("a", 1), ("b", 3)]
    assert background.finished() == []
    assert not background.running


def test_a_call_that_ended_at_once_says_so_and_one_that_failed_has_its_error() -> None:
    background: Background[str, float] = Background(lambda: None)

    assert background.start("a", Inline(), lambda: 1 / 0)

    [(_, call)] = background.finished()
    assert isinstance(call.exception(), ZeroDivisionError)


def test_what_has_not_begun_is_taken_back_and_what_has_goes_on() -> None:
    background: Background[str, None] = Background(lambda: None)
    background.start("waits", Later(), lambda: None)
    background.start("runs", Begun(), lambda: None)

    assert background.cancel("waits") is None
    assert background.cancel("runs") is background.running["runs"]
    assert list(background.running) == ["runs"]


class Begun:
    """Workers whose calls have begun, and do not end."""

    def submit(self, call: Callable[[], Result], /) -> "Future[Result]":
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        return future

    def close(self) -> None: ...


def failing(error: Exception) -> Callable[[], str]:
    def call() -> str:
        raise error

    return call


@pytest.mark.parametrize(
    ("call", "delivered"),
    [
        (lambda: "done", "done"),
        (failing(CodedError("access-denied", "it says no")), "access-denied: it says no"),
        (failing(ValueError("https://secret.example/")), "internal-error: ValueError"),
    ],
)
def test_one_event_is_delivered_whatever_happens(
    call: Callable[[], str], delivered: str, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[str] = []

    with caplog.at_level(logging.INFO):
        run_and_deliver(Inline(), "a call", call, events.append, lambda *why: ": ".join(why))

    assert events == [delivered]
    assert "secret.example" not in caplog.text
    assert ("a call failed inside the agent" in caplog.text) == delivered.startswith("internal-error")


def test_a_machine_without_threads_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", no_thread)
    events: list[str] = []

    run_and_deliver(Threads("t", 1), "a call", lambda: "done", events.append, lambda *why: ": ".join(why))

    assert events == ["no-thread: can't start new thread"]
