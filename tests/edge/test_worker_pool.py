"""Threads for what takes long."""

import threading

import pytest

from edge.worker_pool import Threads


def test_no_more_calls_run_at_a_time_than_the_bound() -> None:
    workers = Threads("test", 2)
    running, most, lock, go = 0, 0, threading.Lock(), threading.Event()

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        go.wait(5)
        with lock:
            running -= 1

    futures = [workers.submit(call) for _ in range(6)]
    go.set()
    for future in futures:
        future.result(5)
    workers.close()

    assert most <= 2


def test_a_failure_is_in_the_future_and_the_worker_goes_on() -> None:
    workers = Threads("test", 1)

    def fails() -> None:
        raise ValueError("no")

    failed, fine = workers.submit(fails), workers.submit(lambda: 7)

    with pytest.raises(ValueError, match="no"):
        failed.result(5)
    assert fine.result(5) == 7
    workers.close()


def test_a_call_that_never_ends_does_not_keep_the_process_alive() -> None:
    workers = Threads("test", 1)
    never = threading.Event()
    workers.submit(never.wait)

    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("test"))
    never.set()
    workers.close()


def test_a_machine_that_was_out_of_threads_once_does_not_cost_the_workers_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers = Threads("test", 1)

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as machine:
        machine.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="new thread"):
            workers.submit(lambda: 6)

    assert workers.submit(lambda: 7).result(5) == 7
    workers.close()


def test_who_has_one_thread_and_gets_no_second_does_it_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Threads("test", 2)
    go = threading.Event()
    first = workers.submit(lambda: go.wait(5))

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as machine:
        machine.setattr(threading.Thread, "start", no_thread)
        second = workers.submit(lambda: 7)
    go.set()

    assert (first.result(5), second.result(5)) == (True, 7)
    workers.close()
