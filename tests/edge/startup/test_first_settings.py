"""A start without a nucleus: what a device knows is supervised, and no agent is left ended for good."""

import pytest

from contract.commands import CommandState
from edge.configuration.kept_settings import KeptSettings
from edge.configuration.settings import Settings
from edge.link.endings import ENDS_MAX, Endings
from edge.link.patience import LinkGone, Patience
from edge.ports.link import LinkDown
from edge.startup.first_settings import first_settings
from tests.support.edge.fakes import AgentHarness


def begin(harness: AgentHarness) -> tuple[Settings, bool, float]:
    """Ask for the first settings; return them, whether there is a link, and how long it took."""
    patience = Patience(
        endings=Endings(harness.state, harness.clock),
        lock_wanted=lambda: harness.lock_wanted,
        spread=lambda seconds: seconds,
    )
    began_s = harness.clock.elapsed_s
    reading, connected = first_settings(
        harness.link, KeptSettings(harness.state), {}, patience, harness.clock.advance
    )
    return reading.settings, connected, harness.clock.elapsed_s - began_s


def a_configured_agent() -> AgentHarness:
    harness = AgentHarness(healthy_poll_s=2.0)
    uri = harness.publish_document("web")
    harness.link.values["desired"] = {"document_uri": uri}
    harness.start()
    harness.turns(5.0)
    assert harness.containers.desired[-1] is not None
    return harness


def test_a_nucleus_that_is_there_has_the_last_word() -> None:
    harness = a_configured_agent()
    harness.link.values["healthy_poll_s"] = 3.0

    assert begin(harness) == (
        KeptSettings(harness.state).settings.model_copy(update={"healthy_poll_s": 3.0}),
        True,
        0,
    )


def test_a_device_without_its_nucleus_is_supervised_within_seconds_by_what_it_knows() -> None:
    harness = a_configured_agent()
    harness.link.nucleus_up = False

    settings, connected, took_s = begin(harness)
    assert (settings.healthy_poll_s, connected) == (2.0, False)
    assert took_s < 10.0
    harness.containers.desired.clear()
    harness.start(connected=False)
    harness.turns(10.0)

    assert [each.applications[0].name for each in harness.containers.desired if each] == ["web"]


def test_once_the_nucleus_is_there_such_a_device_says_hello_reads_its_settings_and_takes_commands() -> None:
    harness = a_configured_agent()
    harness.link.nucleus_up = False
    hellos = len(harness.events())
    harness.start(connected=False)
    harness.turns(20.0)
    harness.link.values["heartbeat_s"] = 7.0
    harness.link.nucleus_up = True
    harness.turns(20.0)
    command = harness.a_command()
    harness.send(command)

    assert len(harness.events()) == hellos + 1
    assert harness.reports()[-1].interval_s == 7.0
    assert harness.states(command) == [CommandState.IN_PROGRESS]
    assert all(count == 1 for count in harness.link.subscriptions.values())


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("what", ["away", "restarts"])
def test_hours_without_a_nucleus_end_the_agent_twice_an_hour_at_most(*, configured: bool, what: str) -> None:
    harness = a_configured_agent() if configured else AgentHarness()
    if what == "away":
        harness.link.nucleus_up = False
    else:
        harness.link.token_is_good = False
    began_s = harness.clock.elapsed_s
    ends = list[float]()
    while harness.clock.elapsed_s < began_s + 3 * 3600.0:
        try:
            begin(harness) if configured else _until(harness, began_s + 3 * 3600.0)
            if harness.start(connected=False) and harness.turns(3600.0) is not None:
                raise LinkGone
        except LinkGone:
            ends.append(harness.clock.elapsed_s)
        except TimeoutError:
            break

    assert 3 <= len(ends) <= 4 * ENDS_MAX
    assert all(later - earlier >= 3_600.0 for earlier, later in zip(ends, ends[ENDS_MAX:], strict=False))


def _until(harness: AgentHarness, end_s: float) -> None:
    advance = harness.clock.advance

    def sleep(seconds: float) -> None:
        advance(seconds)
        if harness.clock.elapsed_s >= end_s:
            raise TimeoutError

    harness.clock.advance = sleep  # type: ignore[method-assign]
    try:
        begin(harness)
    finally:
        harness.clock.advance = advance  # type: ignore[method-assign]


def test_a_device_that_never_had_a_word_from_a_nucleus_waits_for_it_and_supervises_nothing() -> None:
    harness = AgentHarness()
    Endings(harness.state, harness.clock).may_end(early=False)
    Endings(harness.state, harness.clock).may_end(early=False)
    harness.link.nucleus_up = False
    advance = harness.clock.advance

    def sleep(seconds: float) -> None:
        advance(seconds)
        harness.link.nucleus_up = harness.clock.elapsed_s > 2_000.0

    harness.clock.advance = sleep  # type: ignore[method-assign]
    settings, connected, took_s = begin(harness)

    assert (settings, connected) == (Settings(), True)
    assert took_s >= 1_000.0


def test_where_another_agent_wants_its_place_a_start_ends_at_the_first_refusal() -> None:
    harness = a_configured_agent()
    harness.link.token_is_good = False
    harness.lock_wanted = True

    with pytest.raises(LinkGone):
        begin(harness)


def test_a_nucleus_that_connects_and_does_not_answer_is_one_that_is_away() -> None:
    harness = a_configured_agent()

    def silent(*_: str) -> dict[str, object]:
        raise LinkDown("get configuration: no answer")

    harness.link.configuration = silent  # type: ignore[method-assign]

    settings, connected, _ = begin(harness)

    assert (settings.healthy_poll_s, connected) == (2.0, False)
