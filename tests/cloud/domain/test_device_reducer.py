"""What a device's row becomes, event by event: the broker's and the device's word agree in one reducer."""

from dataclasses import dataclass
from datetime import datetime
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.domain.devices.device import Device
from cloud.domain.devices.device_messages import DeviceMessage
from cloud.domain.devices.device_reducer import after
from cloud.domain.devices.presence import Presence, state
from contract.events import ConnectionEvent
from contract.reports import DeviceReport
from tests.support.cloud.devices import a_connection_event, a_presence, a_report, at, news

pytestmark = pytest.mark.slow

Event = Presence | DeviceMessage
ENROLLED = Device("robot-7", "line-3", enrolled_at=at(-999))
CONNECTED, DISCONNECTED = a_presence(True, 4), a_presence(False, 4, event=60)


def told(*events: Event, device: Device = ENROLLED) -> Device:
    return reduce(after, events, device)


@pytest.mark.parametrize(
    ("new", "stored", "counts"),
    [
        (CONNECTED, None, True),
        (DISCONNECTED, None, True),
        (CONNECTED, CONNECTED, False),  # delivered twice
        (DISCONNECTED, DISCONNECTED, False),
        (DISCONNECTED, CONNECTED, True),  # the session ended
        (CONNECTED, DISCONNECTED, False),  # its start, heard after its end
        (a_presence(False, 4, session="s0", event=60), CONNECTED, False),  # another session's end
        (a_presence(True, 5, event=-100), DISCONNECTED, True),  # newer, by a clock that is behind
        (a_presence(False, 9, event=-100), CONNECTED, True),  # newer, with all between lost
        (a_presence(False, 3, event=100), CONNECTED, False),  # older, by a clock that is ahead
        (a_presence(True, 0, event=30 * 60), CONNECTED, False),
        (a_presence(True, 0, event=30 * 60 + 1), CONNECTED, True),  # the version started again
    ],
)
def test_the_version_decides_and_time_only_after_half_an_hour(
    new: Presence, stored: Presence | None, counts: bool
) -> None:
    before = ENROLLED if stored is None else told(stored)
    assert (after(before, new) is not before) is counts


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

    def decided(device: Device) -> tuple[object, ...]:
        newest = (device.presence_session, device.presence_version, device.presence_event_at)
        return device.connected, device.offline_since, device.disconnect_reason if ended else None, newest

    assert decided(told(*heard)) == decided(told(*in_order))


def seen(device: Device, now: float) -> tuple[object, ...]:
    return tuple(state(device, at(now)))


HEARD = told(a_presence(True, 4, event=0), news(a_connection_event(1), 1), news(a_report(2), 2))
GONE = told(a_presence(False, 4, event=100), device=HEARD)


def test_a_report_by_a_later_connection_overrules_a_lost_connected_event() -> None:
    early = told(news(a_report(3), 220), device=GONE)
    assert seen(early, 221) == ("offline", "connection-lost", at(100))  # it may have been on its way

    there = told(news(a_report(4), 220.001), device=early)

    assert seen(there, 221) == ("online", "connected", at(220.001))
    assert there.presence_version == 4


def test_what_overruled_holds_against_the_same_end_told_again_and_yields_to_the_next_one() -> None:
    there = told(news(a_connection_event(3), 300), device=GONE)

    assert told(a_presence(False, 4, event=100), a_presence(True, 4, event=0), device=there) == there
    assert told(a_presence(False, 5, session="s2", event=400), device=there).offline_since == at(400)


def test_an_old_report_from_an_outbox_shows_the_connection_and_nothing_else() -> None:
    old = news(a_report(1), 300)

    there = told(old, device=GONE)

    assert (there.connected, there.connected_since) == (True, at(300))
    assert (there.sequence, there.last_report_at) == (GONE.sequence, GONE.last_report_at)


def test_an_end_that_is_told_after_a_later_connection_was_heard_does_not_count() -> None:
    heard = told(news(a_report(3), 221), device=HEARD)

    assert after(heard, a_presence(False, 4, event=100)) is heard
    assert after(heard, a_presence(False, 4, event=101)).connected is False


@pytest.mark.parametrize("reason", ["shutdown", "reboot"])
def test_a_goodbye_is_the_reason_until_a_hello_and_proves_no_connection(reason: str) -> None:
    goodbye = news(a_connection_event(3, "goodbye", reason=reason), 90)
    left = told(goodbye, a_presence(False, 4, event=91), device=HEARD)
    assert seen(left, 95) == ("stale", "agent-stopped", at(90))
    assert seen(left, 130) == ("offline", reason, at(91))

    still = told(news(a_connection_event(4, "goodbye", reason=reason), 900), device=left)
    assert seen(still, 901) == ("offline", reason, at(91))

    back = told(a_presence(True, 5, event=1000), device=left)
    assert seen(back, 1000) == ("stale", "agent-stopped", at(1000))
    assert seen(told(news(a_connection_event(5), 1010), device=back), 1011) == (
        "online",
        "connected",
        at(1010),
    )


def test_a_goodbye_that_comes_after_the_end_is_its_reason_all_the_same() -> None:
    left = told(
        a_presence(False, 4, event=91),
        news(a_connection_event(3, "goodbye", reason="reboot"), 90),
        device=HEARD,
    )

    assert seen(left, 130) == ("offline", "reboot", at(91))


def test_a_device_whose_end_was_never_told_turns_stale_by_its_silence() -> None:
    assert seen(HEARD, 182) == ("online", "connected", at(1))
    assert seen(HEARD, 182.001) == ("stale", "heartbeat-missed", at(182))


def test_a_takeover_by_the_same_client_continues_what_there_was() -> None:
    assert seen(told(a_presence(True, 5, session="s2", event=50), device=HEARD), 51) == seen(HEARD, 51)


@dataclass(frozen=True, slots=True)
class Session:
    """One connection as it truly was: seconds; ``end`` is None while it lasts."""

    version: int
    begin: float
    end: float | None
    orderly: bool


@dataclass(frozen=True, slots=True)
class Delivered:
    """An event, and when it is processed."""

    at: float
    event: Event


QUIET_S = 600  # heartbeats go on for so long after the last change


@st.composite
def sessions(draw: st.DrawFn) -> list[Session]:
    """A true course: the version counts up, skips, and starts again after an hour offline."""
    now, version, course = 0.0, draw(st.integers(0, 5)), list[Session]()
    count = draw(st.integers(1, 4))
    for number in range(count):
        begin = now
        lasts = draw(st.sampled_from([1, 40, 200, 4000]))
        stays = number == count - 1 and draw(st.booleans())
        course.append(Session(version, begin, None if stays else begin + lasts, draw(st.booleans())))
        away = draw(st.sampled_from([1, 20, 60, 400, 4500]))
        version = 0 if away > 3600 else version + draw(st.integers(1, 3))
        now = begin + lasts + away
    return course


@st.composite
def deliveries(draw: st.DrawFn, course: list[Session]) -> tuple[list[Event], set[int]]:
    """What is told of ``course``, as it is processed; and the ends that are told at all.

    Presence events have clocks two minutes off; the rule sees whatever it sees less than two minutes
    late; everything is processed up to 20 minutes later, maybe twice; presence events may be lost.
    """
    delivered: list[Delivered] = []
    ends: set[int] = set()
    sequence = 0

    def rule_time(moment: float) -> float:
        return moment + draw(st.sampled_from([0, 1, 119.9]))

    def deliver(moment: float, event: Event) -> None:
        for _ in range(draw(st.sampled_from([1, 1, 2]))):
            delivered.append(Delivered(moment + draw(st.sampled_from([0, 5, 1200])), event))

    def presence(number: int, session: Session, connected: bool, moment: float) -> None:
        if draw(st.sampled_from([True, True, False])):
            if not connected:
                ends.add(number)
            event = a_presence(
                connected, session.version, session=f"s{number}",
                event=moment + draw(st.sampled_from([-120, 0, 120])), received_at=at(rule_time(moment)),
            )  # fmt: skip
            deliver(moment, event)

    def message(moment: float, said: ConnectionEvent | DeviceReport) -> None:
        deliver(moment, news(said, rule_time(moment)))

    for number, session in enumerate(course):
        presence(number, session, True, session.begin)
        end = session.end if session.end is not None else session.begin + QUIET_S + 1500
        message(session.begin, a_connection_event(sequence))
        beats = [session.begin + beat for beat in range(1, int(end - session.begin), 60)][-15:]
        for beat in beats:
            sequence += 1
            message(beat, a_report(sequence))
        sequence += 1
        if session.end is not None:
            if session.orderly:
                message(session.end, a_connection_event(sequence, "goodbye", reason="reboot"))
                sequence += 1
            presence(number, session, False, session.end)
    return [d.event for d in sorted(delivered, key=lambda d: d.at)], ends


@settings(max_examples=200)
@given(st.data())
def test_after_quiescence_presence_is_the_truth(data: st.DataObject) -> None:
    course = data.draw(sessions())
    events, ends = data.draw(deliveries(course))
    last = course[-1]

    device = told(*events)

    if last.end is None:
        assert state(device, _heard_last(events)).state == "online"
        return
    quiet = state(device, at(last.end + 10_000))
    assert quiet.state in ("offline", "stale")
    if len(course) - 1 in ends:
        assert quiet.state == "offline"
        assert quiet.reason == ("reboot" if last.orderly else "connection-lost")


def _heard_last(events: list[Event]) -> datetime:
    return max(event.received_at for event in events if isinstance(event, DeviceMessage))
