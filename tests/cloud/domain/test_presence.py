"""What a presence event says, and what state follows from what is known."""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cloud.domain.devices.device import Connection, Device
from cloud.domain.devices.presence import LOST_WITHIN, PresenceEvent, flap_count, lost_at, presence_of, state
from tests.support.cloud.api import NOW, a_device
from tests.support.cloud.devices import at, recorded


def test_the_end_of_a_session_that_the_same_client_took_over_says_nothing() -> None:
    event = PresenceEvent.model_validate(recorded("presence-duplicate-clientid"))

    assert presence_of(event, NOW) is None


@pytest.mark.parametrize("client", ["robot-7#2", "a b", "plus+", "x" * 129])
def test_client_ids_that_no_thing_can_have_say_nothing(client: str) -> None:
    event = PresenceEvent.model_validate(recorded("presence-connected") | {"clientId": client})

    assert presence_of(event, NOW) is None


def test_a_disconnect_carries_its_reason_in_our_spelling() -> None:
    event = PresenceEvent.model_validate(recorded("presence-disconnected"))

    presence = presence_of(event, NOW)

    assert presence is not None
    assert (presence.reason, presence.version) == ("mqtt-keep-alive-timeout", 4)
    assert presence.received_at == NOW


NEVER = Device("robot-7", "line-3", enrolled_at=at(-999))
ONLINE = a_device()
GONE = replace(ONLINE, connected=False, connected_since=None, offline_since=at(-29), disconnect_reason="x-y")


@pytest.mark.parametrize(
    ("device", "now", "expected"),
    [
        (NEVER, 0, ("unknown", "never-seen", at(-999))),
        (ONLINE, 0, ("online", "connected", at(-3600))),
        (ONLINE, 170, ("online", "connected", at(-3600))),
        (ONLINE, 170.001, ("stale", "heartbeat-missed", at(170))),
        (replace(ONLINE, goodbye="shutdown"), 0, ("stale", "agent-stopped", at(-10))),
        (replace(ONLINE, last_report_at=None, stale_at=None), 0, ("stale", "no-report-yet", at(-3600))),
        (replace(ONLINE, connected=None, connected_since=None), 0, ("online", "connected", at(-10))),
        (GONE, 0.999, ("online", "reconnecting", at(-10))),
        (GONE, 1, ("offline", "x-y", at(-29))),
        (replace(GONE, goodbye="reboot"), 1, ("offline", "reboot", at(-29))),
        (replace(GONE, goodbye="reboot"), 0, ("stale", "agent-stopped", at(-10))),
        (replace(GONE, stale_at=at(-1)), 0, ("stale", "heartbeat-missed", at(-1))),
    ],
)
def test_a_device_is_in_one_of_four_states_with_a_reason_and_since_when(
    device: Device, now: float, expected: tuple[str, str, object]
) -> None:
    assert tuple(state(device, at(now))) == expected


def a_course(*times: float | None, **more: Any) -> Device:
    """A device that connected, left, connected … at these times; with None it is not known when."""
    came, left = times[::2], times[1::2]
    ended = [
        Connection(None if began is None else at(began), at(end or 0))
        for began, end in zip(came, left, strict=False)
    ]
    here = len(came) > len(left)
    return replace(
        a_device(connected=here, connected_since=at(came[-1] or 0) if here else None),
        offline_since=None if here else ended[-1].ended,
        disconnect_reason="x-y",
        connections=tuple(reversed(ended)),
        **more,
    )


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (a_course(-900, -800, -770.001), ("online", "connected", at(-900))),  # away for less than 30 s
        (a_course(-900, -800, -770), ("online", "connected", at(-770))),
        (a_course(-900, -800, -790, -700, -671), ("online", "connected", at(-900))),  # and again
        (a_course(-900, -800, -600, -500, -490), ("online", "connected", at(-600))),
        (a_course(None, -500, -490), ("online", "connected", at(-490))),
        (a_course(-900, -29.999), ("online", "reconnecting", at(-900))),
        (a_course(-900, -800, -790, -29), ("online", "reconnecting", at(-900))),
        (a_course(-900, -800, -600, -29), ("online", "reconnecting", at(-600))),
        (a_course(-900, -30), ("offline", "x-y", at(-30))),
        (a_course(-900, -800, -790, reporting_since=at(-700)), ("online", "connected", at(-700))),
        (a_course(-900, -800, -5, stale_at=at(-6)), ("stale", "heartbeat-missed", at(-5))),
        (a_course(-900, -800, -5, goodbye="reboot"), ("stale", "agent-stopped", at(-5))),
    ],
)
def test_being_away_for_less_than_the_debounce_is_no_change_of_state(
    device: Device, expected: tuple[str, str, object]
) -> None:
    assert tuple(state(device, NOW)) == expected


def test_disconnects_are_counted_over_the_last_hour() -> None:
    device = a_course(-9000, -3601, -3600.5, -3600, -3599, -3598, -3000, -1)

    assert flap_count(device, NOW) == 2
    assert flap_count(device, at(-0.1)) == 3
    assert flap_count(a_device(), NOW) == 0


def test_the_debounce_can_be_shortened() -> None:
    assert state(GONE, at(-28.5), offline_debounce_s=0.5).state == "offline"


def test_every_combination_of_what_is_known_has_a_state() -> None:
    ago = timedelta(seconds=100)
    for connected, heard, goodbye, offline in itertools.product(
        (None, True, False), (False, True), (None, "shutdown"), (None, at(-1), at(-100))
    ):
        device = Device(
            "robot-7", None, at(-999), connected=connected, offline_since=offline, goodbye=goodbye,
            last_report_at=NOW - ago if heard else None, stale_at=NOW + ago if heard else None,
        )  # fmt: skip
        seen = state(device, NOW)
        assert seen.state in ("online", "stale", "offline", "unknown")
        assert seen.reason


@pytest.mark.parametrize(
    ("device", "deployed", "now", "lost"),
    [
        (ONLINE, -60, 170, False),  # last heard at -10, overdue after 170
        (ONLINE, -60, 170.001, True),
        (ONLINE, 100, 171, True),  # it was not overdue when that was deployed
        (ONLINE, 171, 300, False),  # it was
        (replace(ONLINE, goodbye="shutdown"), -60, 170, False),  # an update may take its time
        (replace(ONLINE, goodbye="shutdown"), -60, 171, True),
        (ONLINE, -10 - LOST_WITHIN.total_seconds(), 171, True),
        (ONLINE, -11 - LOST_WITHIN.total_seconds(), 171, False),  # a day after the deployment it was well
        (replace(GONE, stale_at=at(-30)), -60, 300, False),  # the core is away
        (replace(ONLINE, connected=None), -60, 300, False),  # nobody knows
        (replace(ONLINE, last_report_at=None, stale_at=None), -60, 300, False),  # never there
    ],
)
def test_an_agent_is_lost_when_it_fell_silent_with_a_deployment_and_its_core_is_there(
    device: Device, deployed: float, now: float, lost: bool
) -> None:
    assert (lost_at(device, [at(deployed)], at(now)) == at(deployed)) is lost


def test_an_agent_is_lost_with_the_latest_of_what_may_have_silenced_it() -> None:
    assert lost_at(ONLINE, [at(-60), at(-20), at(171)], at(300)) == at(-20)
    assert lost_at(ONLINE, [], at(300)) is None
