"""A device's row after its messages, however they arrive."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.domain.devices.device import Device
from cloud.domain.devices.device_messages import DeviceMessage, apply_message
from contract.names import Nucleus
from contract.reports import DesiredStatus, DeviceReport, split
from tests.support.cloud.devices import a_connection_event, a_report, a_status, at, news

ENROLLED = Device("robot-7", "line-3", enrolled_at=at(-999))


def heard(*messages: DeviceMessage, device: Device = ENROLLED) -> Device:
    for message in messages:
        device = apply_message(device, message)
    return device


def test_a_report_is_kept_with_the_servers_time_and_the_devices_skew() -> None:
    device = heard(news(a_report(3, a_status()), 100))

    assert device.last_report_at == at(100)
    assert device.stale_at == at(100 + 3 * 60)
    assert device.clock_skew_s == -97.0
    assert (device.architecture, device.host["disk_free_bytes"]) == ("amd64", 1 << 33)
    assert device.applications["web"]["state"] == "RUNNING"


def test_what_an_agent_can_is_known_from_its_hello_and_its_reports_and_is_0_where_nobody_said() -> None:
    assert ENROLLED.level == 0
    assert heard(news(a_connection_event(1), 1)).level == 0

    hello = heard(news(a_connection_event(1, level=1), 1))
    assert (hello.level, heard(news(a_report(2), 2), device=hello).level) == (1, 0)  # and back again
    assert heard(news(a_report(3, level=2), 3), device=hello).level == 2


def test_which_nucleus_a_device_has_is_what_it_said_last_until_its_state_folder_is_another() -> None:
    assert ENROLLED.nucleus is None
    lite = heard(news(a_connection_event(1, nucleus="lite"), 1))
    assert lite.nucleus is Nucleus.LITE
    assert heard(news(a_report(2), 2), device=lite).nucleus is Nucleus.LITE
    assert heard(news(a_report(2, nucleus="classic"), 2), device=lite).nucleus is Nucleus.CLASSIC
    assert heard(news(a_report(0, epoch="b"), 2), device=lite).nucleus is None
    assert heard(news(a_connection_event(2, nucleus="next"), 2), device=lite).nucleus is Nucleus.LITE


def test_an_older_report_changes_nothing() -> None:
    device = heard(news(a_report(3, a_status()), 100))

    assert apply_message(device, news(a_report(2, a_status(state="FAILED")), 200)) is device


def test_a_message_delivered_twice_changes_nothing() -> None:
    message = news(a_report(3, a_status()), 100)
    device = heard(message)

    assert apply_message(device, message) is device


def test_a_device_whose_state_folder_was_lost_is_heard_again() -> None:
    device = heard(
        news(a_report(900, a_status("old")), 100), news(a_report(0, a_status("new"), epoch="b"), 101)
    )

    assert list(device.applications) == ["new"]
    assert (device.epoch, device.sequence) == ("b", 0)


def test_the_former_epoch_heard_late_changes_nothing() -> None:
    device = heard(news(a_report(0, a_status("new"), epoch="b"), 101))

    assert apply_message(device, news(a_report(900, a_status("old")), 100)) is device


def test_a_hello_of_a_new_epoch_keeps_the_applications_until_the_first_report() -> None:
    device = heard(news(a_report(900, a_status()), 100), news(a_connection_event(0, epoch="b"), 101))

    assert list(device.applications) == ["web"]
    assert heard(news(a_report(1, epoch="b"), 102), device=device).applications == {}


def test_a_goodbye_holds_until_something_newer_is_heard() -> None:
    goodbye = news(a_connection_event(5, "goodbye", reason="reboot"), 50)
    device = heard(news(a_connection_event(4), 40), goodbye)

    assert device.goodbye == "reboot"
    assert apply_message(device, news(a_report(4, a_status()), 60)).goodbye == "reboot"
    assert apply_message(device, news(a_connection_event(6), 60)).goodbye is None


def test_reporting_begins_anew_after_silence_and_after_a_goodbye() -> None:
    device = heard(news(a_report(1), 0), news(a_report(2), 180))
    assert device.reporting_since == at(0)

    device = heard(news(a_report(3), 360.001), device=device)
    assert device.reporting_since == at(360.001)

    device = heard(
        news(a_connection_event(4, "goodbye"), 370), news(a_connection_event(5), 380), device=device
    )
    assert device.reporting_since == at(380)


def test_changes_of_an_applications_state_are_counted() -> None:
    states = ["STARTING", "RUNNING", "RUNNING", "FAILED"]
    device = heard(*(news(a_report(i, a_status(state=state)), i) for i, state in enumerate(states)))

    assert device.state_changes == 2


def test_part_0_removes_what_it_does_not_name() -> None:
    device = heard(news(a_report(1, a_status("a"), a_status("b")), 1), news(a_report(2, a_status("b")), 2))

    assert list(device.applications) == ["b"]


def test_an_application_of_a_later_part_survives_an_earlier_list_of_names() -> None:
    later = a_report(5, a_status("new"), part=1, parts=2, application_names=None, host=None, engine=None)
    device = heard(news(later, 5), news(a_report(4, a_status("old")), 4))

    assert set(device.applications) == {"old", "new"}


def test_a_report_without_names_in_several_parts_removes_nothing() -> None:
    lone = a_report(2, part=0, parts=2, application_names=None)
    device = heard(news(a_report(1, a_status("a")), 1), news(lone, 2))

    assert list(device.applications) == ["a"]


def _parts(report: DeviceReport) -> list[DeviceReport]:
    return list(split(report, max_bytes=1_400))


@st.composite
def histories(draw: st.DrawFn) -> list[DeviceMessage]:
    """What a device says, in order, over one or two lives of its state folder; each part its own time.

    Each life ends with a report: until a new life has reported, the row keeps what the former one said.
    """
    said: list[Any] = []
    for epoch in draw(st.sampled_from([("a",), ("a", "b")])):
        sequence = 0
        for kind in [*draw(st.lists(st.sampled_from(["hello", "goodbye", "report"]), max_size=3)), "report"]:
            if kind == "report":
                names = draw(st.lists(st.sampled_from("pqrst"), unique=True, max_size=5))
                statuses = [
                    a_status(name, draw(st.sampled_from(["RUNNING", "FAILED"])), message="x" * 400)
                    for name in names
                ]
                desired = DesiredStatus(state="CONVERGED", revision=sequence)
                said += _parts(a_report(sequence, *statuses, epoch=epoch, desired=desired))
            else:
                said.append(a_connection_event(sequence, kind, epoch=epoch))
            sequence += draw(st.integers(1, 3))
    return [news(message, position) for position, message in enumerate(said)]


@settings(max_examples=100)
@given(st.data())
def test_any_interleaving_with_repeats_ends_as_in_order(data: st.DataObject) -> None:
    in_order = data.draw(histories())
    repeats = data.draw(st.lists(st.sampled_from(in_order), max_size=4))
    arrived = data.draw(st.permutations(in_order + repeats))

    def seen(device: Device) -> Device:
        """All but what tells of the way there: what was heard first, and how often it changed."""
        sorted_ = dict(sorted(device.applications.items()))
        return replace(device, applications=sorted_, reporting_since=None, state_changes=0)

    assert seen(heard(*arrived)) == seen(heard(*in_order))
