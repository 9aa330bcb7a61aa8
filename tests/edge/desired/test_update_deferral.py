"""What the agent answers to a nucleus that asks before it deploys."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge.containers.pass_result import Pass
from edge.desired.update_deferral import ASK_AGAIN_S, PUT_OFF_MAX_S
from edge.events import LinkLost, Progressed
from tests.support.edge.fakes import AgentHarness, a_pass, running

CRITICAL = a_pass(running("web"), settled=False, critical=True)


def asked(harness: AgentHarness) -> float:
    """Ask as the link's own thread does: without a turn of the loop."""
    assert harness.link.recheck_after_s is not None
    return harness.link.recheck_after_s("d-1")


def test_an_update_goes_on_at_once_when_no_container_is_being_replaced() -> None:
    harness = AgentHarness()
    harness.start()

    assert asked(harness) == 0.0


def test_an_update_waits_until_the_replacement_of_a_container_is_through() -> None:
    harness = AgentHarness()
    harness.containers.found = CRITICAL
    harness.start()
    first = asked(harness)
    harness.containers.found = a_pass(running("web"))
    harness.turns(ASK_AGAIN_S)

    assert (first, asked(harness)) == (ASK_AGAIN_S, 0.0)


def test_a_replacement_that_never_ends_does_not_keep_an_update_away_for_ever() -> None:
    harness = AgentHarness()
    harness.containers.found = CRITICAL
    harness.start()
    assert asked(harness) == ASK_AGAIN_S

    harness.turns(PUT_OFF_MAX_S)

    assert asked(harness) == 0.0


def test_a_deployment_that_was_let_go_and_is_announced_anew_is_put_off_like_any_other() -> None:
    harness = AgentHarness()
    harness.start()
    assert asked(harness) == 0.0

    harness.containers.found = CRITICAL
    harness.turns(PUT_OFF_MAX_S + 5.0)

    assert asked(harness) == ASK_AGAIN_S


@pytest.mark.parametrize("critical", [False, True])
def test_a_loop_that_hangs_in_its_engine_delays_no_answer(*, critical: bool) -> None:
    harness = AgentHarness()
    harness.containers.found = CRITICAL if critical else a_pass(running("web"))
    harness.start()
    hangs, goes_on = threading.Event(), threading.Event()

    def hanging() -> Pass:
        hangs.set()
        assert goes_on.wait(10.0)
        return CRITICAL

    harness.containers.converge = hanging  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as threads:  # the loop's, and the link's
        loop = threads.submit(harness.deliver, Progressed())
        try:
            assert hangs.wait(10.0)
            answer = threads.submit(asked, harness).result(5.0)
            assert not loop.done()
        finally:
            goes_on.set()

    assert answer == (ASK_AGAIN_S if critical else 0.0)
    assert loop.result() is None


def test_a_nucleus_that_never_asks_is_told_hello_once_and_not_pestered() -> None:
    harness = AgentHarness()
    harness.link.consults = False

    harness.start()
    harness.turns(120.0)

    assert len(harness.events()) == 1
    assert "updates" not in harness.link.subscribed


def test_a_nucleus_that_asks_is_listened_to_again_after_a_lost_connection() -> None:
    harness = AgentHarness()
    harness.start()

    harness.deliver(LinkLost("closed"))
    harness.turns(5.0)

    assert harness.link.connects == 1
    assert "updates" in harness.link.subscribed


def test_no_configuration_is_validated_so_that_no_deployment_waits_for_us() -> None:
    harness = AgentHarness()

    harness.start()

    assert harness.link.asked.keys() - {"configuration", "updates"} == {
        topic for topic in harness.link.asked if topic.startswith("cmd/fleetgrass/")
    }
