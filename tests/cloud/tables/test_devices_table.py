"""The devices table, on DynamoDB in memory: the conditions say what the pure functions say."""

import random
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.domain.devices import device_reducer
from cloud.domain.devices.device import Device
from cloud.domain.devices.device_messages import DeviceMessage
from cloud.domain.devices.device_reducer import CONNECTIONS_KEPT
from cloud.domain.devices.presence import Presence, flap_count
from cloud.tables.devices import Devices, Effect
from cloud.tables.rows.device_rows import confirmation, presence_write
from contract.names import Nucleus
from contract.reports import ApplicationStatus, DesiredStatus, split
from tests.cloud.domain.test_device_messages import histories
from tests.support.cloud.api import NOW
from tests.support.cloud.devices import (
    Calls,
    a_connection_event,
    a_presence,
    a_report,
    a_status,
    at,
    devices_table,
    news,
)

Table = tuple[Devices, Calls]
PER_EXAMPLE = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_numbers = iter(range(10**6))


@pytest.fixture(scope="module")
def memory(dynamodb: Any) -> Table:
    return devices_table(dynamodb)


def enrolled(table: Devices) -> str:
    """A device of its own for whoever asks."""
    name = f"robot-{next(_numbers)}"
    assert table.create(name, "line-3", now=NOW)
    return name


def known(table: Devices, name: str) -> Device:
    device = table.get(name)
    assert device is not None
    return device


def test_an_enrolled_device_is_unseen_and_enrolling_again_changes_nothing(memory: Table) -> None:
    table, _ = memory
    name = enrolled(table)

    assert not table.create(name, "line-4", now=at(60))
    assert known(table, name) == Device(name, "line-3", enrolled_at=NOW)


def test_what_was_never_enrolled_gets_no_row(memory: Table) -> None:
    table, _ = memory

    assert not table.record_presence(replace(a_presence(True), device="ghost"))
    assert table.apply(news(a_report(1), 1, "ghost")).effect is Effect.NOT_ENROLLED
    assert table.get("ghost") is None


def test_a_row_of_before_has_no_level_and_one_that_is_said_is_kept_with_the_unchanged_rest(
    memory: Table,
) -> None:
    table, calls = memory
    name = enrolled(table)
    table.apply(news(a_report(1), 1, name))
    table._table.update_item(
        TableName=table._name, Key={"device": {"S": name}}, UpdateExpression="REMOVE #level",
        ExpressionAttributeNames={"#level": "level"},
    )  # fmt: skip
    assert known(table, name).level == 0

    calls.clear()
    assert table.apply(news(a_report(2, level=1), 2, name)).effect is Effect.UNCHANGED
    assert calls == ["UpdateItem"]
    assert known(table, name).level == table.named([name])[name].level == 1


def test_a_nucleus_is_kept_from_who_says_it_and_costs_nothing_while_it_stays(memory: Table) -> None:
    table, calls = memory
    name = enrolled(table)
    assert table.apply(news(a_report(1, nucleus="lite"), 1, name)).effect is Effect.CHANGED

    calls.clear()
    assert table.apply(news(a_report(2, nucleus="lite"), 2, name)).effect is Effect.UNCHANGED
    assert table.apply(news(a_report(3), 3, name)).effect is Effect.UNCHANGED  # and an older agent's
    assert calls == ["UpdateItem", "UpdateItem"]
    assert known(table, name).nucleus is table.named([name])[name].nucleus is Nucleus.LITE


def test_an_unchanged_report_is_one_call_and_a_changed_one_two(memory: Table) -> None:
    table, calls = memory
    name = enrolled(table)
    statuses = [a_status("web", message="é" * 50), a_status("db", "UNHEALTHY", code="http-500")]
    desired = DesiredStatus(state="CONVERGED", revision=3, document_sha256="ab")

    def counted(sequence: int, *more: object, state: str = "RUNNING") -> tuple[Effect, list[str]]:
        calls.clear()
        report = a_report(sequence, *statuses, a_status("third", state), desired=desired)
        return table.apply(news(report, sequence, name)).effect, list(calls)

    assert counted(1) == (Effect.CHANGED, ["UpdateItem", "TransactWriteItems"])  # a point of the history
    assert counted(2) == (Effect.UNCHANGED, ["UpdateItem"])
    assert counted(2) == (Effect.OLD, ["UpdateItem"])
    assert counted(3, state="FAILED") == (Effect.CHANGED, ["UpdateItem"] * 2)
    assert counted(4, state="FAILED") == (Effect.UNCHANGED, ["UpdateItem"])
    device = known(table, name)
    assert (device.sequence, device.host["uptime_s"], device.last_report_at) == (4, 4.0, at(4))
    assert set(device.application_sequences.values()) == {4}


def test_what_an_agent_can_is_known_after_one_call_and_shown_in_a_list(memory: Table) -> None:
    table, calls = memory
    name = enrolled(table)
    table.apply(news(a_report(1), 1, name))
    calls.clear()

    assert table.apply(news(a_report(2, level=1), 2, name)).effect is Effect.UNCHANGED
    assert list(calls) == ["UpdateItem"]
    assert known(table, name).level == 1
    assert table.named([name])[name].level == 1


def test_every_part_of_an_unchanged_report_of_64_applications_is_one_call(memory: Table) -> None:
    table, calls = memory
    name = enrolled(table)
    statuses = [a_status(f"app-{i}", message="x" * 300, image="i" * 200) for i in range(64)]
    for sequence in (1, 2):
        parts = split(a_report(sequence, *statuses))
        assert len(parts) > 1
        calls.clear()
        effects = {table.apply(news(part, sequence + i / 100, name)).effect for i, part in enumerate(parts)}

    assert effects == {Effect.UNCHANGED}
    assert list(calls) == ["UpdateItem"] * len(parts)
    assert set(known(table, name).application_sequences.values()) == {2}


def test_what_64_applications_say_fits_into_dynamodbs_expressions() -> None:
    """4 KB and 300 operators each (DynamoDB developer guide, "Service quotas"); moto has no bounds."""
    report = a_report(1, *(a_status(f"app-{i}") for i in range(64)), desired=DesiredStatus(state="CONVERGED"))

    for write in (confirmation(news(report, 1)), presence_write(a_presence(False))):
        for expression in (write.change, f"attribute_exists(device) AND {write.condition}"):
            assert len(expression) <= 4096
            assert len(re.findall(r"[<>=+]+|AND|OR|_exists", expression)) <= 300


@pytest.mark.parametrize(
    "statuses",
    [[a_status(f"app-{i}") for i in range(65)], [a_status("web"), a_status("web", "STOPPED")]],
    ids=["more than an expression says", "one of them twice"],
)
def test_a_report_that_no_expression_can_say_is_heard_all_the_same(
    memory: Table, statuses: list[ApplicationStatus]
) -> None:
    table, calls = memory
    name = enrolled(table)
    for sequence in (1, 2):
        report = a_report(sequence, *statuses)
        calls.clear()
        assert table.apply(news(report, sequence, name)).effect is Effect.CHANGED
        assert list(calls) == ["UpdateItem", "TransactWriteItems" if sequence == 1 else "UpdateItem"]
    device = known(table, name)
    assert set(device.application_sequences.values()) == {2}
    assert device.applications.keys() == {status.name for status in statuses}


#: Around every bound there is: the debounce's, the two minutes', the half hour's, a span's of the history.
TIMES = st.sampled_from([0, 1, 60, 119, 120, 121, 122, 299, 300, 301, 1799, 1800, 1801, 1921, 1922, 4000])


@st.composite
def presences(draw: st.DrawFn) -> Presence:
    version = draw(st.integers(0, 3))
    session = draw(st.sampled_from([f"s{version}", "other"]))
    return a_presence(
        draw(st.booleans()), version, session=session, event=draw(TIMES), received_at=at(draw(TIMES))
    )


@st.composite
def messages(draw: st.DrawFn) -> DeviceMessage:
    epoch, sequence = draw(st.sampled_from("aab")), draw(st.integers(0, 6))
    level, nucleus = draw(st.integers(0, 1)), draw(st.sampled_from([None, *Nucleus]))
    if draw(st.booleans()):
        event = draw(st.sampled_from(["hello", "goodbye"]))
        said = a_connection_event(sequence, event, epoch=epoch, level=level, nucleus=nucleus)
        return news(said, draw(TIMES))
    state, cpu = draw(st.sampled_from(["RUNNING", "FAILED"])), draw(st.sampled_from([None, 1.5, 2.5]))
    status = a_status("web", state, cpu_percent=cpu)
    return news(a_report(sequence, status, epoch=epoch, level=level, nucleus=nucleus), draw(TIMES))


def tell(table: Devices, name: str, event: Presence | DeviceMessage) -> bool:
    """Apply an event to its row; return whether it changed anything."""
    if isinstance(event, Presence):
        return table.record_presence(replace(event, device=name))
    return table.apply(replace(event, device=name)).effect in (Effect.CHANGED, Effect.UNCHANGED)


@settings(PER_EXAMPLE, max_examples=40)
@given(st.data())
def test_any_events_in_any_order_make_the_row_that_the_reducer_makes(
    dynamodb: Any, data: st.DataObject
) -> None:
    """The one proof that what is said to DynamoDB is what the reducer says."""
    table, _ = devices_table(dynamodb)
    name = enrolled(table)
    events = data.draw(st.lists(st.one_of(presences(), messages()), max_size=12))
    repeats = data.draw(st.lists(st.sampled_from(events), max_size=3)) if events else []
    expected = known(table, name)
    for event in [*events, *repeats]:
        before, expected = expected, device_reducer.after(expected, event)
        assert tell(table, name, event) is (expected is not before)
    assert replace(known(table, name), writes=0) == expected


@PER_EXAMPLE
@given(st.data())
def test_reports_in_parts_in_any_order_make_the_row_that_the_reducer_makes(
    memory: Table, data: st.DataObject
) -> None:
    table, _ = memory
    name = enrolled(table)
    in_order = data.draw(histories())
    repeats = data.draw(st.lists(st.sampled_from(in_order), max_size=3))
    expected = known(table, name)
    for message in data.draw(st.permutations(in_order + repeats)):
        tell(table, name, message)
        expected = device_reducer.after(expected, message)
    assert replace(known(table, name), writes=0) == expected


def test_a_burst_of_200_presence_events_is_one_write_each_and_no_read(memory: Table) -> None:
    table, calls = memory
    name = enrolled(table)
    burst = [
        a_presence(connected, version, session=f"s{version}", event=version * 2 + (not connected))
        for version in range(100)
        for connected in (True, False)
    ]
    expected = known(table, name)
    calls.clear()
    for event in random.Random(7).sample(burst, len(burst)):
        tell(table, name, event)
        expected = device_reducer.after(expected, event)

    assert calls == ["UpdateItem"] * 200
    device = known(table, name)
    assert device == expected
    assert (device.connected, device.offline_since) == (False, at(199))


def test_a_steady_flapping_is_counted_up_to_what_a_row_keeps(memory: Table) -> None:
    table, _ = memory
    name = enrolled(table)
    for version in range(30):
        tell(table, name, a_presence(True, version, session=f"s{version}", event=version * 10))
        tell(table, name, a_presence(False, version, session=f"s{version}", event=version * 10 + 5))

    device = known(table, name)

    assert flap_count(device, at(300)) == len(device.connections) == CONNECTIONS_KEPT
    assert device.connections[0] == (at(290), at(295))
    (listed,) = [d for d in table.in_group("line-3") if d.name == name]
    assert listed.connections == device.connections
    assert table.named([name])[name].connections == device.connections


def test_what_an_application_uses_is_kept_and_is_no_change(memory: Table) -> None:
    table, calls = memory
    name = enrolled(table)
    for sequence in (1, 2):
        calls.clear()
        status = a_status("web", cpu_percent=sequence / 2, memory_bytes=sequence * 1000)
        table.apply(news(a_report(sequence, status, a_status("db")), sequence, name))

    assert list(calls) == ["UpdateItem"]
    assert known(table, name).applications == {
        "web": a_status("web", cpu_percent=1.0, memory_bytes=2000).to_dict(),
        "db": a_status("db").to_dict(),
    }


def test_a_message_that_ends_an_absence_is_decided_by_the_reducer_in_two_calls(memory: Table) -> None:
    table, calls = memory
    name = enrolled(table)
    expected = known(table, name)
    course: list[tuple[Presence | DeviceMessage, int]] = [
        (a_presence(True, 1), 1),
        (news(a_report(1, a_status()), 1), 2),
        (news(a_connection_event(2, "goodbye"), 10), 1),
        (news(a_connection_event(3), 20), 2),  # after a goodbye
        (news(a_report(4, a_status()), 200), 1),
        (news(a_report(5, a_status()), 250), 1),
        (news(a_report(6, a_status()), 299), 1),
        (news(a_connection_event(7), 479.001), 2),  # after more than three intervals of silence
        (a_presence(False, 1, event=500), 1),
        (news(a_connection_event(8), 620), 1),  # may have been on its way
        (news(a_connection_event(9), 620.001), 2),  # by a later connection
        (news(a_connection_event(10), 621), 1),
    ]
    for event, cost in course:
        calls.clear()
        tell(table, name, event)
        expected = device_reducer.after(expected, event)
        assert len(calls) == cost, event
        assert replace(known(table, name), writes=0) == expected
    assert known(table, name).connected_since == at(620.001)


def test_presence_and_reports_do_not_undo_each_other(memory: Table) -> None:
    table, _ = memory
    name = enrolled(table)
    table.record_presence(replace(a_presence(True), device=name))
    table.apply(news(a_connection_event(1), 1, name))
    table.record_presence(replace(a_presence(False, event=9), device=name))
    table.apply(news(a_report(2, a_status()), 2, name))

    device = known(table, name)

    assert (device.connected, device.offline_since, device.sequence) == (False, at(9), 2)


def test_a_group_is_given_whole_with_applications(dynamodb: Any) -> None:
    table, calls = devices_table(dynamodb)
    names = [f"robot-{i:03d}" for i in range(102)]
    for name in names:
        table.create(name, "line-3", now=NOW)
    table.apply(news(a_report(1, a_status()), 1, "robot-101"))

    found = table.in_group("line-3")
    calls.clear()
    assert table.names_in_group("line-3") == [device.name for device in found]
    assert set(calls) == {"Query"}

    assert [device.name for device in found] == names
    assert "web" in found[101].applications
