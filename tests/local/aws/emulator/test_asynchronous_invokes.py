import threading

import pytest

from local.aws.emulator.asynchronous_invokes import AsynchronousInvokes, Outcome, QueueFull


class Function:
    """A function that gives the outcomes it was told to, in order, then DONE."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes)
        self.attempts: list[str] = []
        self.dropped: list[str] = []
        self.settled = threading.Event()

    def invoke(self, event: str) -> Outcome:
        self.attempts.append(event)
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome.DONE
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is Outcome.DONE:
            self.settled.set()
        return outcome

    def give_up(self, event: str) -> None:
        self.dropped.append(event)
        self.settled.set()


def invoke(function: Function, event: str) -> None:
    invokes = AsynchronousInvokes(
        function.invoke, function.give_up, workers=1, retry_delays_s=(0, 0), throttle_delay_s=0
    )
    invokes.put(event)
    assert function.settled.wait(5)
    invokes.close()


def test_a_call_that_succeeds_is_made_once() -> None:
    function = Function()

    invoke(function, "hello")

    assert function.attempts == ["hello"]


def test_a_failed_call_is_tried_again_until_it_succeeds() -> None:
    function = Function(Outcome.FAILED, RuntimeError("crash"), Outcome.DONE)

    invoke(function, "hello")

    assert (len(function.attempts), function.dropped) == (3, [])


def test_a_call_that_fails_three_times_is_given_up_once() -> None:
    function = Function(*[Outcome.FAILED] * 5)

    invoke(function, "hello")

    assert (len(function.attempts), function.dropped) == (3, ["hello"])


def test_a_throttled_call_costs_no_attempt() -> None:
    function = Function(*[Outcome.THROTTLED] * 5, Outcome.FAILED, Outcome.FAILED, Outcome.DONE)

    invoke(function, "hello")

    assert function.dropped == []


def test_a_full_queue_says_so_to_the_one_who_puts() -> None:
    invokes: AsynchronousInvokes[str] = AsynchronousInvokes(
        lambda _: Outcome.DONE, lambda _: None, workers=0, capacity=2
    )
    invokes.put("one")
    invokes.put("two")

    with pytest.raises(QueueFull):
        invokes.put("three")
