"""A start without a nucleus: what a device knows is supervised, and no agent is left ended for good."""

import pytest

from contract.commands import CommandState
from edge.configuration.kept_settings import KeptSettings
from edge.configuration.settings import Settings
from edge.link.endings import ENDS_MAX, Endings
from edge.link.patience import LinkGone, Patience
from edge.ports.link import LinkDown
from edge.startup.first_settings import first_settings
from tests.support.edge.fakes import World


def begin(world: World) -> tuple[Settings, bool, float]:
    """Ask for the first settings; return them, whether there is a link, and how long it took."""
    patience = Patience(
        endings=Endings(world.state, world.clock),
        lock_wanted=lambda: world.lock_wanted,
        spread=lambda seconds: seconds,
    )
    began_s = world.clock.elapsed_s
    reading, connected = first_settings(
        world.link, KeptSettings(world.state), {}, patience, world.clock.advance
    )
    return reading.settings, connected, world.clock.elapsed_s - began_s


def a_configured_world() -> World:
    world = World(healthy_poll_s=2.0)
    uri = world.publish_document("web")
    world.link.values["desired"] = {"document_uri": uri}
    world.start()
    world.turns(5.0)
    assert world.containers.desired[-1] is not None
    return world


def test_a_nucleus_that_is_there_has_the_last_word() -> None:
    world = a_configured_world()
    world.link.values["healthy_poll_s"] = 3.0

    assert begin(world) == (
        KeptSettings(world.state).settings.model_copy(update={"healthy_poll_s": 3.0}),
        True,
        0,
    )


def test_a_device_without_its_nucleus_is_supervised_within_seconds_by_what_it_knows() -> None:
    world = a_configured_world()
    world.link.nucleus_up = False

    settings, connected, took_s = begin(world)
    assert (settings.healthy_poll_s, connected) == (2.0, False)
    assert took_s < 10.0
    world.containers.desired.clear()
    world.start(connected=False)
    world.turns(10.0)

    assert [each.applications[0].name for each in world.containers.desired if each] == ["web"]


def test_once_the_nucleus_is_there_such_a_device_says_hello_reads_its_settings_and_takes_commands() -> None:
    world = a_configured_world()
    world.link.nucleus_up = False
    hellos = len(world.events())
    world.start(connected=False)
    world.turns(20.0)
    world.link.values["heartbeat_s"] = 7.0
    world.link.nucleus_up = True
    world.turns(20.0)
    command = world.a_command()
    world.send(command)

    assert len(world.events()) == hellos + 1
    assert world.reports()[-1].interval_s == 7.0
    assert world.states(command) == [CommandState.IN_PROGRESS]
    assert all(count == 1 for count in world.link.subscriptions.values())


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("what", ["away", "restarts"])
def test_hours_without_a_nucleus_end_the_agent_twice_an_hour_at_most(*, configured: bool, what: str) -> None:
    world = a_configured_world() if configured else World()
    if what == "away":
        world.link.nucleus_up = False
    else:
        world.link.token_is_good = False
    began_s = world.clock.elapsed_s
    ends = list[float]()
    while world.clock.elapsed_s < began_s + 3 * 3600.0:
        try:
            begin(world) if configured else _until(world, began_s + 3 * 3600.0)
            if world.start(connected=False) and world.turns(3600.0) is not None:
                raise LinkGone
        except LinkGone:
            ends.append(world.clock.elapsed_s)
        except TimeoutError:
            break

    assert 3 <= len(ends) <= 4 * ENDS_MAX
    assert all(later - earlier >= 3_600.0 for earlier, later in zip(ends, ends[ENDS_MAX:], strict=False))


def _until(world: World, end_s: float) -> None:
    advance = world.clock.advance

    def sleep(seconds: float) -> None:
        advance(seconds)
        if world.clock.elapsed_s >= end_s:
            raise TimeoutError

    world.clock.advance = sleep  # type: ignore[method-assign]
    try:
        begin(world)
    finally:
        world.clock.advance = advance  # type: ignore[method-assign]


def test_a_device_that_never_had_a_word_from_a_nucleus_waits_for_it_and_supervises_nothing() -> None:
    world = World()
    Endings(world.state, world.clock).may_end(early=False)
    Endings(world.state, world.clock).may_end(early=False)
    world.link.nucleus_up = False
    advance = world.clock.advance

    def sleep(seconds: float) -> None:
        advance(seconds)
        world.link.nucleus_up = world.clock.elapsed_s > 2_000.0

    world.clock.advance = sleep  # type: ignore[method-assign]
    settings, connected, took_s = begin(world)

    assert (settings, connected) == (Settings(), True)
    assert took_s >= 1_000.0


def test_where_another_agent_wants_its_place_a_start_ends_at_the_first_refusal() -> None:
    world = a_configured_world()
    world.link.token_is_good = False
    world.lock_wanted = True

    with pytest.raises(LinkGone):
        begin(world)


def test_a_nucleus_that_connects_and_does_not_answer_is_one_that_is_away() -> None:
    world = a_configured_world()

    def silent(*_: str) -> dict[str, object]:
        raise LinkDown("get configuration: no answer")

    world.link.configuration = silent  # type: ignore[method-assign]

    settings, connected, _ = begin(world)

    assert (settings.healthy_poll_s, connected) == (2.0, False)
