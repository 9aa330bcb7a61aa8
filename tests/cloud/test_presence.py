"""Which presence event counts, and what state follows from what is known."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.device import Device
from cloud.presence import Presence, PresenceEvent, presence_of, state, supersedes
from tests.cloud.api import NOW, a_device
from tests.cloud.devices import a_presence, at, recorded

CONNECTED, DISCONNECTED = a_presence(True, 4), a_presence(False, 4, event=60)


def folded(events: list[Presence]) -> Presence | None:
    stored: Presence | None = None
    for event in events:
        if supersedes(event, stored):
            stored = event
    return stored


@pytest.mark.parametrize(
    ("new", "stored", "counts"),
    [
        (CONNECTED, None, True),
        (DISCONNECTED, None, True),
        (CONNECTED, CONNECTED, False),  # delivered twice
        (DISCONNECTED, CONNECTED, True),  # the session ended
        (CONNECTED, DISCONNECTED, False),  # its start, heard after its end
        (a_presence(False, 4, session="s0", event=60), CONNECTED, False),  # another session's end
        (a_presence(True, 5, event=-100), DISCONNECTED, True),  # newer, by a clock that is behind
        (a_presence(False, 3, event=100), CONNECTED, False),  # older, by a clock that is ahead
        (a_presence(True, 0, event=30 * 60), CONNECTED, False),
        (a_presence(True, 0, event=30 * 60 + 1), CONNECTED, True),  # the version started again
    ],
)
def test_the_version_decides_and_time_only_after_half_an_hour(
    new: Presence, stored: Presence | None, counts: bool
) -> None:
    assert supersedes(new, stored) is counts


@given(st.data())
def test_sessions_heard_in_any_order_and_more_than_once_end_as_heard_in_order(data: st.DataObject) -> None:
    sessions = data.draw(st.integers(1, 4))
    ended = data.draw(st.booleans())
    in_order = [
        a_presence(connected, number, session=f"s{number}", event=number * 10 + (0 if connected else 5))
        for number in range(sessions)
        for connected in (True, False)
    ][: None if ended else -1]
    repeats = data.draw(st.lists(st.sampled_from(in_order), max_size=4))
    heard = data.draw(st.permutations(in_order + repeats))

    assert folded(heard) == folded(in_order)


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
