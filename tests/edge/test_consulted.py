"""What the agent answers to a nucleus that asks before it deploys."""

from contract.defaults import CONFIGURATION_VALIDATION_S
from edge.consulted import ASK_AGAIN_S, PUT_OFF_MAX_S
from edge.events import ConfigurationProposed, Judged, LinkLost, UpdateAnnounced
from tests.edge.fakes import World, a_pass, running

PROPOSAL = ConfigurationProposed("d-1", {"heartbeat_s": 5})


def test_a_verdict_goes_to_the_nucleus_as_soon_as_it_is_found() -> None:
    world = World()
    world.start()

    world.deliver(PROPOSAL)
    assert (world.examined, world.link.judged) == ([PROPOSAL], [])
    world.deliver(Judged("d-1", "wrong-architecture: web"))

    assert world.link.judged == [("d-1", "wrong-architecture: web")]


def test_what_is_not_known_within_half_of_the_time_is_accepted_once() -> None:
    world = World()
    world.start()
    world.deliver(PROPOSAL)

    world.turns(CONFIGURATION_VALIDATION_S / 2)
    world.deliver(Judged("d-1", "too late"))

    assert world.link.judged == [("d-1", None)]


def test_a_long_refusal_is_cut_to_what_a_deployments_status_shows() -> None:
    world = World()
    world.start()
    world.deliver(PROPOSAL)

    world.deliver(Judged("d-1", "x" * 5_000))

    ((_, refusal),) = world.link.judged
    assert refusal is not None
    assert len(refusal.encode()) <= 1_000


def test_an_update_goes_on_at_once_when_no_container_is_being_replaced() -> None:
    world = World()
    world.start()

    world.deliver(UpdateAnnounced("d-1"))

    assert world.link.allowed == [("d-1", 0.0)]


def test_an_update_waits_until_the_replacement_of_a_container_is_through() -> None:
    world = World()
    world.containers.found = a_pass(running("web"), settled=False, critical=True)
    world.start()
    world.deliver(UpdateAnnounced("d-1"))
    world.containers.found = a_pass(running("web"))
    world.turns(ASK_AGAIN_S)

    world.deliver(UpdateAnnounced("d-1"))

    assert world.link.allowed == [("d-1", ASK_AGAIN_S), ("d-1", 0.0)]


def test_a_replacement_that_never_ends_does_not_keep_an_update_away_for_ever() -> None:
    world = World()
    world.containers.found = a_pass(running("web"), settled=False, critical=True)
    world.start()
    world.deliver(UpdateAnnounced("d-1"))

    world.turns(PUT_OFF_MAX_S)
    world.deliver(UpdateAnnounced("d-1"))

    assert world.link.allowed[-1] == ("d-1", 0.0)


def test_an_answer_that_the_nucleus_does_not_take_harms_nothing() -> None:
    world = World()
    world.start()
    world.deliver(PROPOSAL)
    world.link.nucleus_up = False

    world.deliver(Judged("d-1", None))
    world.deliver(UpdateAnnounced("d-1"))

    assert (world.link.judged, world.link.allowed) == ([], [])


def test_a_nucleus_that_never_asks_is_told_hello_once_and_not_pestered() -> None:
    world = World()
    world.link.consults = False

    world.start()
    world.turns(120.0)

    assert len(world.events()) == 1
    assert world.link.subscribed & {"updates", "proposals"} == set()


def test_a_nucleus_that_asks_is_listened_to_again_after_a_lost_connection() -> None:
    world = World()
    world.start()

    world.deliver(LinkLost("closed"))
    world.turns(5.0)

    assert world.link.connects == 1
    assert world.link.subscribed >= {"updates", "proposals"}
